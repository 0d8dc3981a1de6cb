//! What `lab up` leaves for others: the inventory for the harness, the host keys for OpenSSH.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use indexmap::IndexMap;

use super::recipe::User;
use super::serial::HostKey;
use super::state::{self, LabState, Machine};
use super::up::Wanted;
use super::{LabError, LabFolder};
use crate::spec::inventory::{Access, Inventory, InventoryFile, Readiness, SecretSource, VmEntry};

/// For `lab ssh`: OpenSSH wants keys, not fingerprints.
pub(super) fn write_known_hosts(
    folder: &LabFolder,
    state: &LabState,
    keys: &IndexMap<String, HostKey>,
) -> Result<(), LabError> {
    let line = |machine: &Machine| {
        Some(format!("[127.0.0.1]:{} {}\n", machine.ssh_port, keys.get(&machine.name)?.public))
    };
    let text: String = state.machines.iter().filter_map(line).collect();
    fs::write(state::ssh_known_hosts(folder), text).map_err(LabError::io("write the host keys"))
}

/// The inventory that the harness reads: every VM behind its port on loopback, its host key pinned.
pub(super) fn write_inventory(
    folder: &LabFolder,
    wanted: &[Wanted],
    state: &LabState,
    keys: &IndexMap<String, HostKey>,
    path: &Path,
) -> Result<(), LabError> {
    let first = &wanted[0].recipe.recipe;
    let user = first.os.users.first().ok_or_else(|| LabError::new("the recipes have no user"))?;
    let declared = declared(path, &first.lab);
    let entry = |(one, machine): (&Wanted, &Machine)| {
        let recipe = &one.recipe.recipe;
        let vm = declared.as_ref().and_then(|lab| lab.vms.get(&recipe.name));
        // Only what differs from the first VM's user stands at the VM.
        let own = recipe
            .os
            .users
            .first()
            .filter(|own| (&own.name, &own.password) != (&user.name, &user.password));
        let ssh = Access {
            port: Some(machine.ssh_port),
            host_key: keys.get(&machine.name).map(|key| key.fingerprint.clone()),
            ..own.map(login).unwrap_or_default()
        };
        let entry = VmEntry {
            role: Some(recipe.role.clone()),
            address: Some(recipe.os.network.alias_address().to_owned()),
            ports: vm.map_or_else(Vec::new, |vm| vm.ports.clone()),
            udp_ports: vm.map_or_else(Vec::new, |vm| vm.udp_ports.clone()),
            ssh,
            memory_gb: Some(recipe.resources.memory_gb),
            disk_gb: Some(recipe.resources.disk_gb),
            position: recipe.position,
            ..VmEntry::default()
        };
        (recipe.name.clone(), entry)
    };
    let mut vms: IndexMap<String, VmEntry> =
        wanted.iter().zip(&state.machines).map(entry).collect();
    let place =
        |vm: &str| declared.as_ref().and_then(|lab| lab.vms.get_index_of(vm)).unwrap_or(usize::MAX);
    vms.sort_by(|left, _, right, _| place(left).cmp(&place(right)));
    let peers = declared.as_ref().and_then(|lab| lab.peers);
    let (mut connections, warnings) =
        declared.map(|lab| (lab.connections, lab.warnings)).unwrap_or_default();
    connections.retain(|edge| vms.contains_key(&edge.from) && vms.contains_key(&edge.to));
    let unpinned = state.machines.iter().any(|machine| !machine.ours);
    let inventory = InventoryFile {
        schema: None,
        lab: first.lab.clone(),
        description: Some(
            "Written by `bootproof lab up`; removed by `bootproof lab down`.".to_owned(),
        ),
        suites: None,
        known_hosts: unpinned.then(|| folder.run().join("known_hosts")),
        defaults: Access { host: Some("127.0.0.1".to_owned()), ..login(user) },
        readiness: Readiness::default(),
        vms,
        connections,
        peers,
        warnings,
    };
    let text = serde_json::to_string_pretty(&inventory)
        .map_err(|error| LabError::new(error.to_string()))?;
    let failed = || LabError::io(format!("write {}", path.display()));
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed())?;
    let mut file =
        tempfile::Builder::new().prefix(".local-").tempfile_in(parent).map_err(failed())?;
    writeln!(file, "{text}").map_err(failed())?;
    // The passwords of the lab stand in it.
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed())?;
    file.persist(path).map_err(|error| failed()(error.error))?;
    Ok(())
}

/// The lab's own inventory, beside the one that is written: it has the topology, and the order of the VMs.
fn declared(path: &Path, lab: &str) -> Option<Inventory> {
    let path = path.with_file_name(format!("{lab}.json"));
    let text = fs::read_to_string(&path).ok()?;
    Inventory::parse(&path.display().to_string(), &text).ok()
}

fn login(user: &User) -> Access {
    let password = Some(SecretSource::Literal(user.password.clone().into()));
    Access { user: Some(user.name.clone()), password, ..Access::default() }
}
