package acceptance

// copyRows are about cp, diff, export and commit. up makes a running container $N, and tree a folder on this side.
var copyRows = []row{
	{name: "cp: file into a folder, and back", script: up + `echo hi >f && naru cp f $N:/root && naru exec $N cat /root/f && naru cp $N:/root/f g && cat g`, stdout: "hi\nhi\n"},
	{name: "cp: file to a new name", script: up + `echo hi >f && naru cp f $N:/root/g && naru exec $N cat /root/g`, stdout: "hi\n"},
	{name: "cp: file over a file", script: up + `echo hi >f && naru cp f $N:/etc/motd && naru exec $N cat /etc/motd`, stdout: "hi\n"},
	{name: "cp: file to a folder that is not there", script: up + `echo hi >f && naru cp f $N:/none/`, stderr: `^naru: error: no such directory`, code: 1},
	{name: "cp: file below a folder that is not there", script: up + `echo hi >f && naru cp f $N:/none/f`, stderr: `^naru: error: Could not find the file /none in container $N`, code: 1},
	{name: "cp: folder into a folder", script: up + tree + `naru cp d $N:/root && naru exec $N sh -c 'cd /root/d && find . | sort'`, stdout: ".\n./l\n./s\n./s/f\n"},
	{name: "cp: what is in a folder", script: up + tree + `naru cp d/. $N:/root/new && naru exec $N sh -c 'cd /root/new && find . | sort'`, stdout: ".\n./l\n./s\n./s/f\n"},
	{name: "cp: folder over a file", script: up + tree + `naru cp d $N:/etc/motd`, stderr: `^naru: error: cannot copy directory`, code: 1},
	{name: "cp: folder out to a new name", script: up + `naru exec $N sh -c 'mkdir -p /a/b; echo x >/a/b/c; ln -s b /a/l' && rm -rf out && naru cp $N:/a out && (cd out && find . | sort; readlink l)`, stdout: ".\n./b\n./b/c\n./l\nb\n"},
	{name: "cp: folder out into a folder", script: up + `rm -rf out && mkdir out && naru cp $N:/etc/default out && test -f out/default/useradd && naru cp $N:/etc/default/. out && test -f out/useradd && echo both`, stdout: "both\n"},
	{name: "cp: out below a folder that is not there", script: up + `naru cp $N:/etc/motd none/f`, stderr: `^naru: error: invalid output path: directory ".*/none" does not exist`, code: 1},
	{name: "cp: out of what is not there", script: up + `naru cp $N:/none .`, stderr: `^naru: error: Could not find the file /none in container $N`, code: 1},
	{name: "cp: link, and what it leads to", script: up + `naru exec $N ln -s /etc/motd /l && rm -f l m && naru cp $N:/l l && readlink l && naru cp -L $N:/l m && cat m`, stdout: "/etc/motd\nwelcome\n"},
	{name: "cp: local link followed", script: up + `echo hi >f && ln -sf f l && naru cp l $N:/root/ && naru cp -L l $N:/root/m && naru exec $N sh -c 'readlink /root/l; cat /root/m'`, stdout: "f\nhi\n"},
	{name: "cp: archives", script: up + tree + `tar cf - d | naru cp - $N:/root && naru cp $N:/root/d - | tar tf - | sort`, stdout: "d/\nd/l\nd/s/\nd/s/f\n"},
	{name: "cp: compressed archives", script: up + tree + `for z in gzip bzip2 xz; do tar cf - --transform "s,^d,$z," d | $z | naru cp - $N:/root; done && naru exec $N sh -c 'ls /root'`, stdout: "bzip2\ngzip\nxz\n"},
	{name: "cp: archive to a file", script: up + `naru cp - $N:/etc/motd </dev/null`, stderr: `^naru: error: destination "$N:/etc/motd" must be a directory`, code: 1},
	{name: "cp: owner, mode and time", script: up + `echo >f && chmod 4751 f && touch -d @1000000000 f && naru cp f $N:/f && naru exec $N stat -c '%u %a %Y' /f && naru cp $N:/f g && stat -c '%a %Y' g`, stdout: "0 4751 1000000000\n4751 1000000000\n"},
	{name: "cp: -a", script: `naru run -d --name $N -u www-data $IMG sleep 1000 >/dev/null; echo >f && naru cp -a f $N:/tmp/f && naru exec $N stat -c %U:%G /tmp/f`, stdout: "www-data:www-data\n"},
	{name: "cp: a container that was never started", script: `naru create --name $N -v /v $IMG cat /v/f /f >/dev/null; echo hi >f && naru cp f $N:/v/ && naru cp f $N:/ && naru start -a $N && naru cp $N:/v/f - | tar tf -`, stdout: "hi\nhi\nf\n"},
	{name: "cp: an ended container", script: `naru run --name $N $IMG sh -c 'echo made >/made' && naru cp $N:/made - | tar xOf -`, stdout: "made\n"},
	{name: "cp: read-only root", script: `naru create --name $N --read-only -v /v $IMG true >/dev/null; echo hi >f; naru cp f $N:/v/ && naru cp f $N:/`, stderr: `^naru: error: container rootfs is marked read-only`, code: 1},
	{name: "cp: over a mount point", script: up + `echo hi >f; naru cp f $N:/etc/hosts; naru exec $N grep -c localhost /etc/hosts`, stdout: "2\n", stderr: `^naru: error: unlinkat /etc/hosts: device or resource busy`},
	{name: "cp: a pipe", script: up + `naru exec $N mkfifo /p && naru cp $N:/p - | tar tvf - | cut -c1`, stdout: "p\n"},
	{name: "cp: two containers, or none", script: `naru cp a:x b:y; naru cp ./a:x ./b`, stderr: `copying between containers is not supported\n(?s).*must specify at least one container source`, code: 1},
	{name: "diff", script: `naru run --name $N $IMG sh -c 'mkdir /a; echo >/a/b; rm /etc/motd; echo >>/etc/passwd; chmod 700 /opt; touch /tmp/x; rm /tmp/x' && naru diff $N`, stdout: "A /a\nA /a/b\nC /etc\nC /etc/passwd\nD /etc/motd\nC /opt\n"},
	{name: "diff: nothing", script: up + `naru diff $N`},
	{name: "export", script: up + `naru exec $N sh -c 'echo own >/own' && naru export $N | tar xOf - own && naru export -o e.tar $N && tar tf e.tar | grep -c '^proc/.'`, stdout: "own\n0\n", code: 1},
	{name: "export and import", script: up + `naru exec $N sh -c 'echo own >/own' && naru export $N | naru import - $N-image >/dev/null && naru run --rm $N-image /usr/bin/cat /own; naru rmi $N-image >/dev/null`, stdout: "own\n"},
	{name: "commit", script: up + `naru exec $N sh -c 'echo new >/new; rm /etc/motd; ln /etc/passwd /pw' && naru commit -a me -m why -c 'CMD ["sh","-c","cat /new; ls /etc/motd; stat -c %h /pw"]' $N $N-image | cut -c1-7 && naru run --rm $N-image; naru inspect -f '{{.Author}} {{.Comment}} {{len .RootFS.Layers}}' $N-image; naru exec $N true; naru rmi $N-image >/dev/null`, stdout: "sha256:\nnew\n2\nme why 3\n", stderr: `No such file`},
	{name: "commit: saved and loaded", script: up + `naru exec $N sh -c 'echo new >/new' && naru commit -p=false $N $N-image >/dev/null && naru save $N-image >i.tar && naru rmi $N-image >/dev/null && naru load -q -i i.tar >/dev/null && naru run --rm $N-image cat /new; naru rmi $N-image >/dev/null`, stdout: "new\n"},
	{name: "commit: bad instruction", script: up + `naru commit -c 'FROM x' $N`, stderr: `^naru: error: FROM is not a valid change command`, code: 1},
}

const (
	up   = `naru run -d --name $N $IMG sleep 1000 >/dev/null; `
	tree = `rm -rf d; mkdir -p d/s && echo x >d/s/f && ln -s s/f d/l; `
)
