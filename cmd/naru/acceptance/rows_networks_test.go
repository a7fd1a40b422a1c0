package acceptance

// userNet is a script on networks of its own, $N and ${N}b, that are removed whatever comes.
func userNet(script string) string {
	return `trap 'naru rm -f $N ${N}b >/dev/null 2>&1; naru network rm $N ${N}b >/dev/null 2>&1' EXIT; ` + script
}

// pong waits in a container until Redis answers at $1.
const pong = `'until exec 3<>/dev/tcp/$0/6379; do sleep 0.1; done 2>/dev/null; echo PING >&3; head -n 1 <&3'`

// hears prints each datagram that it gets, until one says "end"; forges sends one in another's name, then that one.
const (
	hears = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 9))
while (d := s.recv(99)) != b"end": print(d.decode(), flush=True)
print("end")`
	forges = `import socket, struct
a = socket.inet_aton
p = struct.pack("!HHHH", 9, 9, 14, 0) + b"forged"
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
s.sendto(struct.pack("!BBHHHBBH4s4s", 69, 0, 20 + len(p), 0, 0, 64, 17, 0, a("10.213.9.99"), a("10.213.9.7")) + p, ("10.213.9.7", 0))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"end", ("10.213.9.7", 9))`
)

// userNetworkRows are about user-defined networks.
var userNetworkRows = []row{
	{name: "user network: by name", script: userNet(`naru network create $N >/dev/null; naru run -d --name $N --network $N --network-alias db $IMG redis-server --protected-mode no >/dev/null
for name in $N db $N.$N; do naru run --rm --network $N $IMG bash -c ` + pong + ` $name; done`), stdout: "+PONG\r\n+PONG\r\n+PONG\r\n"},
	{name: "user network: name server", script: userNet(`naru network create $N >/dev/null; naru run --rm --network $N --dns-search example.test $IMG cat /etc/resolv.conf`),
		stdout: "nameserver 127.0.0.11\nsearch example.test\noptions ndots:0\n"},
	{name: "user network: apart from others", script: userNet(`naru network create $N >/dev/null; naru network create ${N}b >/dev/null; naru run -d --name $N --network $N $IMG redis-server --protected-mode no >/dev/null
IP=$(naru inspect -f '{{(index .NetworkSettings.Networks "'$N'").IPAddress}}' $N)
for net in ${N}b bridge; do naru run --rm --network $net $IMG timeout 1 bash -c 'exec 3<>/dev/tcp/$0/6379' $IP 2>/dev/null; echo $?; done; naru run --rm --network $N $IMG bash -c ` + pong + ` $IP`),
		stdout: "124\n124\n+PONG\r\n"},
	{name: "user network: nobody poses as another", script: userNet(`naru network create --subnet 10.213.9.0/24 $N >/dev/null
for cap in KILL NET_ADMIN; do naru run -d --name $N --network $N --ip 10.213.9.7 $IMG python3 -c '` + hears + `' >/dev/null
naru run --rm --network $N --cap-add $cap $IMG python3 -c '` + forges + `'; naru wait $N >/dev/null; naru logs $N; naru rm $N >/dev/null; done`), stdout: "end\nforged\nend\n"},
	{name: "user network: internal", script: userNet(`naru network create --internal $N >/dev/null; naru run --rm --network $N $IMG sh -c 'cut -f 1-3 /proc/net/route | grep -c "	00000000	"; getent hosts example.test || echo none'`), stdout: "0\nnone\n"},
	{name: "user network: subnet, address, MAC", script: userNet(`naru network create --subnet 10.213.9.0/24 --gateway 10.213.9.254 $N >/dev/null
naru run --rm --network name=$N,ip=10.213.9.7,mac-address=02:00:00:00:00:09 $IMG sh -c 'tail -n 1 /etc/hosts | cut -f 1; cat /sys/class/net/eth0/address; cut -f 1-3 /proc/net/route | grep "	00000000	"'`),
		stdout: "10.213.9.7\n02:00:00:00:00:09\neth0\t00000000\tFE09D50A\n"},
	{name: "user network: connect and disconnect", script: userNet(`naru network create $N >/dev/null; naru run -d --name $N $IMG sleep 1000 >/dev/null
naru network connect --alias x $N $N; naru exec $N sh -c 'ls /sys/class/net | tr "\n" " "; grep -c 127.0.0.11 /etc/resolv.conf'; naru network disconnect bridge $N; naru exec $N sh -c 'ls /sys/class/net | tr "\n" " "'
naru inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.Aliases}}{{end}}' $N; naru network rm $N`),
		stdout: "eth0 eth1 lo 1\neth1 lo ${N} [x]\n", stderr: `network $N has active endpoints`, code: 1},
	{name: "user network: several at once", script: userNet(`naru network create $N >/dev/null; naru network create ${N}b >/dev/null
naru run --rm --network $N --network name=${N}b,gw-priority=1 $IMG sh -c 'ls /sys/class/net | tr "\n" " "; cut -f 1-3 /proc/net/route | grep "	00000000	" | cut -f 1'`), stdout: "eth0 eth1 lo eth1\n"},
	{name: "user network: published port", script: userNet(`naru network create $N >/dev/null; naru run -d --name $N --network $N -p 127.0.0.1::6379 $IMG redis-server --protected-mode no >/dev/null
P=$(naru inspect -f '{{(index (index .NetworkSettings.Ports "6379/tcp") 0).HostPort}}' $N); bash -c 'until exec 3<>/dev/tcp/127.0.0.1/$0 && echo PING >&3 && read -r -u 3 line; do sleep 0.1; done 2>/dev/null; echo "$line"' $P`), stdout: "+PONG\r\n"},
	{name: "published UDP port", script: `naru run -d --name $N -p 127.0.0.1::5353/udp $IMG python3 -c 'import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("", 5353))
while True:
    data, peer = s.recvfrom(100); s.sendto(data.upper(), peer)' >/dev/null
P=$(naru inspect -f '{{(index (index .NetworkSettings.Ports "5353/udp") 0).HostPort}}' $N); python3 -c 'import socket, sys
s = socket.socket(type=socket.SOCK_DGRAM); s.connect(("127.0.0.1", int(sys.argv[1]))); s.settimeout(0.2)
for _ in range(300):
    try:
        s.send(b"ping"); print(s.recv(100).decode()); break
    except OSError:
        pass' $P`, stdout: "PING\n"},
	{name: "user network: IPv6", script: userNet(`naru network create --ipv6 --subnet fd12:3456:789a::/64 $N >/dev/null; naru run -d --name $N --network name=$N,ip6=fd12:3456:789a::7 $IMG redis-server --protected-mode no >/dev/null
naru run --rm --network $N $IMG bash -c 'getent ahostsv6 $0 | head -n 1 | cut -d " " -f 1' $N`), stdout: "fd12:3456:789a::7\n"},
	{name: "user network: linked", script: userNet(`naru run -d --name $N $IMG redis-server --protected-mode no >/dev/null; naru run --rm --link $N:db $IMG bash -c ` + pong + ` db`), stdout: "+PONG\r\n", stderr: `WARNING: Links on the default bridge network are deprecated`},
	{name: "network: list, inspect, prune", script: userNet(`naru network create --label a=$N $N >/dev/null; naru network ls -f label=a=$N --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.Labels}}'
naru network inspect -f '{{.Name}} {{len .Containers}} {{.Labels.a}}' $N; naru network prune -f --filter label=a=$N; naru network rm -f $N; naru network ls -q -f label=a=$N`), stdout: "${N} bridge local false a=${N}\n${N} 0 ${N}\nDeleted Networks:\n${N}\n\n"},
	{name: "network: refusals", script: userNet(`naru network create bridge; naru network create --subnet 10.213.9.1/24 $N; naru network rm host; naru network connect nosuch $N; naru run --rm --network nosuch $IMG true; echo $?`), stdout: "125\n",
		stderr: `(?s)operation is not permitted on predefined bridge network.*invalid subnet 10.213.9.1/24: it should be 10.213.9.0/24.*host is a pre-defined network and cannot be removed.*No such container: $N.*network nosuch not found`},
}
