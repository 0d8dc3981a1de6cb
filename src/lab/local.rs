//! What `lab up` leaves for others: the inventory for bootproof, the host keys for OpenSSH.

use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::folder::LabFolder;
use super::recipe::{Recipe, User};
use super::serial::HostKey;
use super::state::{self, LabState, LabVm};
use super::vm::VmToBoot;
use crate::atomic_file;
use crate::problem::Problem;
use crate::spec::inventory::{
    Access, Connection, Inventory, InventoryFile, Readiness, SecretSource, VmEntry,
};

/// Writes the host keys for `lab ssh`: OpenSSH needs whole keys, not fingerprints.
pub(super) fn write_known_hosts(
    folder: &LabFolder,
    state: &LabState,
    keys: &IndexMap<String, HostKey>,
) -> Result<(), Problem> {
    let line =
        |vm: &LabVm| Some(format!("[127.0.0.1]:{} {}\n", vm.ssh_port, keys.get(&vm.name)?.public));
    let text: String = state.vms.iter().filter_map(line).collect();
    let path = state::ssh_known_hosts(folder);
    fs::write(&path, text).map_err(Problem::io(format!("write {}", path.display())))
}

/// Writes the inventory of the lab: every VM behind its port on 127.0.0.1, its host key pinned.
pub(super) fn write_inventory(
    folder: &LabFolder,
    vms: &[VmToBoot],
    state: &LabState,
    keys: &IndexMap<String, HostKey>,
    path: &Path,
) -> Result<(), Problem> {
    let first = &vms[0].recipe.recipe;
    let user = first.os.users.first().ok_or_else(|| Problem::new("the recipes have no user"))?;
    let declared = declared_inventory(path, &first.lab);
    let entries = vms.iter().zip(&state.vms).map(|(vm, lab_vm)| {
        let recipe = &vm.recipe.recipe;
        let entry = entry(recipe, lab_vm, keys.get(&recipe.name), user, declared.as_ref());
        (recipe.name.clone(), entry)
    });
    let entries = in_declared_order(entries.collect(), declared.as_ref());
    let unpinned = state.vms.iter().any(|vm| !vm.built_here);
    let inventory = InventoryFile {
        schema: None,
        suites: declared.as_ref().and_then(|lab| suites_of(lab, path)),
        lab: first.lab.clone(),
        description: Some(
            "Written by `bootproof lab up`; removed by `bootproof lab down`.".to_owned(),
        ),
        known_hosts: unpinned.then(|| folder.run().join("known_hosts")),
        defaults: Access { host: Some("127.0.0.1".to_owned()), ..login(user) },
        readiness: Readiness::default(),
        connections: connections_among(&entries, declared.as_ref()),
        peers: declared.as_ref().and_then(|lab| lab.peers),
        vars: declared.as_ref().map(|lab| lab.vars.clone()).unwrap_or_default(),
        // The values of the groups are in the `vars` of each VM.
        groups: IndexMap::new(),
        warnings: declared.map(|lab| lab.warnings).unwrap_or_default(),
        vms: entries,
    };
    let text = serde_json::to_string_pretty(&inventory)
        .map_err(|error| Problem::new(error.to_string()))?;
    // It holds the passwords of the lab.
    atomic_file::write(path, &format!("{text}\n"), atomic_file::PRIVATE)
        .map_err(Problem::io(format!("write {}", path.display())))
}

/// The repository's inventory of this lab, beside the one that is written: it declares the ports,
/// the connections and the order of the VMs.
fn declared_inventory(path: &Path, lab: &str) -> Option<Inventory> {
    let paths = ["json", "yaml", "yml"].map(|kind| path.with_file_name(format!("{lab}.{kind}")));
    let path = paths.into_iter().find(|path| path.exists())?;
    let text = fs::read_to_string(&path).ok()?;
    Inventory::parse(&path.display().to_string(), &text).ok()
}

fn entry(
    recipe: &Recipe,
    vm: &LabVm,
    key: Option<&HostKey>,
    default_user: &User,
    declared: Option<&Inventory>,
) -> VmEntry {
    let declared = declared.and_then(|lab| lab.vms.get(&recipe.name));
    // Only a user other than the default one is written down at the VM.
    let differs =
        |own: &&User| (&own.name, &own.password) != (&default_user.name, &default_user.password);
    let own_login = recipe.os.users.first().filter(differs).map(login).unwrap_or_default();
    VmEntry {
        role: Some(recipe.role.clone()),
        groups: declared.map(|vm| vm.groups.clone()).unwrap_or_default(),
        vars: declared.map(|vm| vm.vars.clone()).unwrap_or_default(),
        address: Some(recipe.os.network.alias_address().to_owned()),
        ports: declared.map_or_else(Vec::new, |vm| vm.ports.clone()),
        udp_ports: declared.map_or_else(Vec::new, |vm| vm.udp_ports.clone()),
        ssh: Access {
            port: Some(vm.ssh_port),
            host_key: key.map(|key| key.fingerprint.clone()),
            ..own_login
        },
        memory_gb: Some(recipe.resources.memory_gb),
        disk_gb: Some(recipe.resources.disk_gb),
        position: recipe.position,
        ..VmEntry::default()
    }
}

/// VMs that are not declared come last.
fn in_declared_order(
    mut entries: IndexMap<String, VmEntry>,
    declared: Option<&Inventory>,
) -> IndexMap<String, VmEntry> {
    let place = |vm: &str| declared.and_then(|lab| lab.vms.get_index_of(vm)).unwrap_or(usize::MAX);
    entries.sort_by(|left, _, right, _| place(left).cmp(&place(right)));
    entries
}

/// The declared connections between VMs that are up.
fn connections_among(
    entries: &IndexMap<String, VmEntry>,
    declared: Option<&Inventory>,
) -> Vec<Connection> {
    let connections = declared.into_iter().flat_map(|lab| &lab.connections);
    connections
        .filter(|wire| entries.contains_key(&wire.from) && entries.contains_key(&wire.to))
        .cloned()
        .collect()
}

fn login(user: &User) -> Access {
    let password = Some(SecretSource::Literal(user.password.clone().into()));
    Access { user: Some(user.name.clone()), password, ..Access::default() }
}

/// The suites that the declared inventory names, as seen from the folder of `path`.
fn suites_of(declared: &Inventory, path: &Path) -> Option<Vec<PathBuf>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let back: PathBuf = folder.components().map(|_| "..").collect();
    let suites = declared.suites.iter().map(|suite| back.join(suite));
    (!declared.suites.is_empty()).then(|| suites.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_inventory_names_the_suites_of_the_declared_one() {
        let text = r#"{"lab": "l", "suites": ["../suites/a.json", "/b.json"], "vms":
            {"vm": {"address": "10.0.0.1", "ssh": {"user": "ops", "agent": true}}}}"#;
        let declared = Inventory::parse("inventory/l.json", text).unwrap();
        let suites = suites_of(&declared, Path::new("inventory/local.json")).unwrap();
        assert_eq!(suites, ["../suites/a.json", "/b.json"].map(PathBuf::from));
    }

    #[test]
    fn the_declared_inventory_may_be_yaml() {
        let folder = tempfile::tempdir().unwrap();
        let local = folder.path().join("local.json");
        assert!(declared_inventory(&local, "l").is_none());
        let text = "lab: l\nvms:\n  vm: { address: h, ssh: { user: ops, agent: true } }\n";
        fs::write(folder.path().join("l.yaml"), text).unwrap();
        assert!(declared_inventory(&local, "l").is_some());
    }
}
