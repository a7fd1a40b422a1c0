package acceptance

var fileRows = []row{
	{name: "bind", script: `mkdir -p src && echo text >src/f && naru run --rm -v "$PWD/src":/src $IMG sh -c 'cat /src/f; echo back >/src/g' && cat src/g`, stdout: "text\nback\n"},
	{name: "bind of the current folder", script: `echo here >f && naru run --rm -v "$PWD":/src -w /src $IMG cat f`, stdout: "here\n"},
	{name: "relative bind", script: `mkdir -p rel && echo r >rel/f && naru run --rm -v ./rel:/src $IMG cat /src/f`, stdout: "r\n"},
	{name: "read-only bind", script: `mkdir -p src && naru run --rm -v "$PWD/src":/src:ro $IMG touch /src/x`, stderr: `Read-only file system`, code: 1},
	{name: "bind by --mount", script: `mkdir -p src && echo m >src/f && naru run --rm --mount type=bind,source="$PWD/src",target=/src,readonly $IMG cat /src/f`, stdout: "m\n"},
	{name: "bind of a file", script: `echo one >file && naru run --rm -v "$PWD/file":/etc/motd $IMG cat /etc/motd`, stdout: "one\n"},
	{name: "owner of what a container makes", script: `rm -rf own && mkdir -m 777 own && naru run --rm -u 1234:77 -v "$PWD/own":/o $IMG touch /o/f && stat -c %u:%g own/f`, stdout: "1234:77\n"},
	{name: "missing source with -v is made", script: `rm -rf fresh && naru run --rm -v "$PWD/fresh":/f $IMG sh -c 'ls /f | wc -l' && test -d fresh && echo made`, stdout: "0\nmade\n"},
	{name: "missing source with --mount", script: `naru run --rm --mount type=bind,source="$PWD/nothing",target=/f $IMG true`, stderr: `naru: error: .*bind source path does not exist: .*/nothing`, code: 125},
	{name: "volume outlives its container", script: `naru volume create $N >/dev/null; naru run --rm -v $N:/d $IMG sh -c 'echo kept >/d/f' && naru run --rm -v $N:/d:ro $IMG cat /d/f; naru volume rm $N`, stdout: "kept\n$N\n"},
	{name: "new volume has the image's content", script: `naru run --rm -v $N:/etc/default $IMG ls /etc/default >a; naru run --rm $IMG ls /etc/default >b; cmp a b && test -s a && echo same; naru volume rm $N >/dev/null`, stdout: "same\n"},
	{name: "volume in use", script: `naru run -d --name $N -v $N:/d $IMG sleep 1000 >/dev/null; naru volume rm $N; echo $?; naru rm -f $N >/dev/null; naru volume rm $N`, stdout: "1\n$N\n", stderr: `volume is in use`},
	{name: "volume list and inspect", script: `naru volume create --label a=b $N >/dev/null && naru volume ls -q -f name=$N && naru volume inspect -f '{{.Driver}} {{.Labels.a}}' $N && naru volume rm $N`, stdout: "$N\nlocal b\n$N\n"},
	{name: "anonymous volume goes with --rm", script: `naru volume ls -q >a; naru run --rm -v /data $IMG touch /data/x; naru volume ls -q >b; cmp a b && echo gone`, stdout: "gone\n"},
	{name: "volume with driver options", script: `naru volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,mode=1700 $N >/dev/null && naru run --rm -v $N:/d $IMG sh -c 'stat -f -c %T /d; stat -c %a /d' && naru volume inspect -f '{{.Options.o}}' $N && naru volume rm $N; naru volume create -o foo=bar ${N}b`, stdout: "tmpfs\n1700\nsize=1m,mode=1700\n$N\n", stderr: `naru: error: create ${N}b: invalid option: "foo"`, code: 1},
	{name: "volume of a folder", script: `mkdir -p dev && echo d >dev/f && naru run --rm --mount "type=volume,source=$N,target=/d,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=$PWD/dev" $IMG sh -c 'cat /d/f; echo w >/d/g' && cat dev/g && naru volume rm $N >/dev/null && ls dev`, stdout: "d\nw\nf\ng\n"},
	{name: "part of a volume", script: `naru run --rm -v $N:/d $IMG sh -c 'mkdir -p /d/in && echo p >/d/in/f && ln -s /etc /d/out' && naru run --rm --mount type=volume,source=$N,target=/x,volume-subpath=in $IMG ls /x; naru run --rm --mount type=volume,source=$N,target=/x,volume-subpath=out $IMG ls /x; naru volume rm $N >/dev/null`, stdout: "f\n", stderr: `naru: error: cannot access path`},
	{name: "files of an image", script: `naru run --rm --mount type=image,source=$IMG,target=/img,image-subpath=etc $IMG sh -c 'cmp /etc/motd /img/motd && echo same; touch /img/x'`, stdout: "same\n", stderr: `Read-only file system`, code: 1},
	{name: "volume without the image's content", script: `naru run --rm -v $N:/etc/default:nocopy $IMG sh -c 'ls /etc/default | wc -l'; naru run --rm --mount type=volume,source=$N,target=/d,readonly $IMG touch /d/x; naru volume rm $N`, stdout: "0\n$N\n", stderr: `Read-only file system`},
	{name: "words for other systems' binds", script: `mkdir -p src && echo c >src/f && naru run --rm -v "$PWD/src":/a:cached,z -v "$PWD/src":/b:ro,delegated --mount type=bind,source="$PWD/src",target=/c,consistency=consistent $IMG sh -c 'cat /a/f /b/f /c/f'`, stdout: "c\nc\nc\n"},
	{name: "propagation of a bind", script: `mkdir -p src && naru run --rm --mount type=bind,source="$PWD/src",target=/s,bind-propagation=rprivate -v "$PWD/src":/r:rslave $IMG sh -c 'grep -c " /s .* shared:\| /s .* master:" /proc/self/mountinfo'; naru run --rm -v "$PWD/src":/r:sideways $IMG true`, stdout: "0\n", stderr: `naru: error: .*invalid mode: sideways`, code: 125},
	{name: "tmpfs by --mount", script: `naru run --rm --mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770 $IMG sh -c 'stat -f -c %T /t; stat -c %a /t; head -c 2000000 /dev/zero >/t/f'; naru run --rm --mount type=tmpfs,target=/t,source=x $IMG true`, stdout: "tmpfs\n1770\n", stderr: `No space left(.|\n)*naru: error: .*field Source must not be specified`, code: 125},
	{name: "volume that cannot be mounted", script: `naru volume create -o type=nfs -o o=addr=127.0.0.1,soft,timeo=1,retrans=0,port=1,mountport=1,nolock -o device=:/x $N && naru run --rm -v $N:/d $IMG true 2>err; echo $?; grep -o 'failed to mount local volume: mount :/x' err; naru ps -aq -f volume=$N | wc -l; naru volume rm $N`, stdout: "$N\n125\nfailed to mount local volume: mount :/x\n0\n$N\n"},
	{name: "volume export and import", script: `naru run --rm -v $N:/d $IMG sh -c 'echo kept >/d/f && ln /d/f /d/g && ln -s f /d/l && chown 12:34 /d /d/f && chmod 2750 /d' && naru volume export -o v.tar.zst $N && naru volume import ${N}b v.tar.zst && naru run --rm -v ${N}b:/d $IMG sh -c 'cat /d/l; stat -c "%u:%g %a" /d; stat -c "%u:%g %h" /d/g' && naru volume export $N | tar -t | sort; naru volume import $N v.tar.zst; echo $?; naru volume rm $N ${N}b`,
		stdout: "${N}b\nkept\n12:34 2750\n12:34 2\n./\n./f\n./g\n./l\n1\n$N\n${N}b\n", stderr: `naru: error: import volume $N: it is not empty`},
	{name: "volume import of a bad archive", script: `head -c 10000 /dev/urandom | naru volume import $N; naru volume ls -q -f name=$N; naru volume export nothere`, stderr: `naru: error: import volume $N: (.|\n)*naru: error: get nothere: no such volume`, code: 1},
	{name: "tmpfs", script: `naru run --rm --tmpfs /t:size=1m,mode=1770 $IMG sh -c 'stat -f -c %T /t; stat -c %a /t; head -c 2000000 /dev/zero >/t/f'`, stdout: "tmpfs\n1770\n", stderr: `No space left`, code: 1},
	{name: "read-only root", script: `naru run --rm --read-only --tmpfs /tmp $IMG sh -c 'touch /tmp/ok && echo ok; touch /no'`, stdout: "ok\n", stderr: `Read-only file system`, code: 1},
	{name: "writable layer is the container's own", script: `naru run --rm $IMG sh -c 'echo changed >/etc/motd; cat /etc/motd'; naru run --rm $IMG cat /etc/motd`, stdout: "changed\nwelcome\n"},
	{name: "writable layer outlives a stop", script: `naru run --name $N $IMG sh -c 'test -e /f && echo again; touch /f' && naru start -a $N`, stdout: "again\n"},
	{name: "deleted files of the image", script: `naru run --rm $IMG sh -c 'rm /etc/motd; ls /etc/motd'`, stderr: `No such file`, code: 2},
}

var networkRows = []row{
	{name: "no network", script: `naru run --rm --network none $IMG sh -c 'ls /sys/class/net'`, stdout: "lo\n"},
	{name: "own interface", script: `naru run --rm $IMG sh -c 'ls /sys/class/net; cat /sys/class/net/eth0/operstate'`, stdout: "eth0\nlo\nup\n"},
	{name: "hosts file", script: `naru run --rm --hostname box --add-host db:10.1.2.3 $IMG sh -c 'grep -c box /etc/hosts; grep db /etc/hosts'`, stdout: "1\n10.1.2.3\tdb\n"},
	{name: "resolver", script: `naru run --rm --dns 10.9.8.7 --dns-search example.test --dns-option ndots:3 $IMG sh -c 'grep -v "^#" /etc/resolv.conf | grep .'`, stdout: "nameserver 10.9.8.7\nsearch example.test\noptions ndots:3\n"},
	{name: "published port", script: ping(`-p 127.0.0.1::6379`), stdout: "+PONG\r\n"},
	{name: "published port, exact", script: `P=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'); naru run -d --name $N -p 127.0.0.1:$P:6379 $IMG redis-server --protected-mode no >/dev/null && test "$(naru inspect -f '{{(index (index .NetworkSettings.Ports "6379/tcp") 0).HostPort}}' $N)" = $P && echo same`, stdout: "same\n"},
	{name: "port in use", script: `naru run -d --name $N -p 127.0.0.1::6379 $IMG redis-server >/dev/null; P=$(naru inspect -f '{{(index (index .NetworkSettings.Ports "6379/tcp") 0).HostPort}}' $N); naru run -d --name ${N}b -p 127.0.0.1:$P:6379 $IMG redis-server >out; echo $?; naru ps -a -f name=${N}b --format '{{.Status}}'`, stdout: "125\nCreated\n", stderr: `naru: error: .*(port is already allocated|address already in use)`},
	{name: "port is free again", script: `naru run -d --name $N -p 127.0.0.1::6379 $IMG redis-server >/dev/null; P=$(naru inspect -f '{{(index (index .NetworkSettings.Ports "6379/tcp") 0).HostPort}}' $N); naru rm -f $N >/dev/null; naru run --rm -p 127.0.0.1:$P:6379 $IMG echo free`, stdout: "free\n"},
	{name: "containers reach each other", script: `naru run -d --name $N $IMG redis-server --protected-mode no >/dev/null; IP=$(naru inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' $N); naru run --rm -e IP=$IP $IMG bash -c 'until exec 3<>/dev/tcp/$IP/6379; do sleep 0.1; done 2>/dev/null; echo PING >&3; head -n 1 <&3'`, stdout: "+PONG\r\n"},
	{name: "network of another container", script: `naru run -d --name $N $IMG redis-server >/dev/null; naru run --rm --network container:$N $IMG bash -c 'until exec 3<>/dev/tcp/127.0.0.1/6379; do sleep 0.1; done 2>/dev/null; echo PING >&3; head -n 1 <&3'`, stdout: "+PONG\r\n"},
	{name: "networks", script: `naru network ls --format '{{.Name}} {{.Driver}}' | sort; naru network inspect -f '{{.Driver}}' bridge`, stdout: "bridge bridge\nhost host\nnone null\nbridge\n"},
}

// ping starts Redis with the given flags and asks it through its published port, from the host.
func ping(flags string) string {
	return `naru run -d --name $N ` + flags + ` $IMG redis-server --protected-mode no >/dev/null
naru exec $N bash -c 'until exec 3<>/dev/tcp/127.0.0.1/6379; do sleep 0.1; done 2>/dev/null'
P=$(naru inspect -f '{{(index (index .NetworkSettings.Ports "6379/tcp") 0).HostPort}}' $N)
exec 3<>/dev/tcp/127.0.0.1/$P; echo PING >&3; head -n 1 <&3`
}
