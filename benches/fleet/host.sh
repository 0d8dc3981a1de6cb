# Makes a host of the namespaces that it was started in, and becomes its sshd.
# Usage: host.sh NAME ADDRESS MAC MACHINE_ID RUNNER FOLDER
set -e
name=$1 address=$2 far=$3 machine_id=$4 runner=$5 folder=$6

# The hardware addresses are known to both ends, so nobody needs ARP: the kernel's table has room
# for 1,000 neighbours only.
near=02:00:00:00:00:01
ip -batch - <<END
link set lo up
link add eth0 address $far type veth peer name $name address $near netns fleet
addr add $address/32 dev eth0
link set eth0 up
neigh add $runner lladdr $near nud permanent dev eth0
route add $runner dev eth0 src $address
END
ip -n fleet -batch - <<END
link set $name up
neigh add $address lladdr $far nud permanent dev $name
route add $address dev $name src $runner
END

hostname "$name"
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir /run/sshd
echo "$machine_id" >/run/machine-id
mount --bind /run/machine-id /etc/machine-id

ssh-keygen -q -t ed25519 -N '' -f "$folder/keys/$name"
exec "$(command -v sshd)" -D -f "$folder/sshd.conf" -h "$folder/keys/$name" -E "$folder/sshd.log"
