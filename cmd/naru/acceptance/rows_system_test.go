package acceptance

// askSelf asks the engine about the container that it runs in, through the socket that was bound.
const askSelf = `import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"GET /containers/%s/json HTTP/1.0\r\n\r\n" % sys.argv[2].encode())
d = b""
while c := s.recv(65536): d += c
print(b"\x22Running\x22:true" in d, b"\x22Name\x22:\x22/%s\x22" % sys.argv[2].encode() in d)`

// systemRows are about the engine as a whole.
var systemRows = []row{
	{name: "the engine's socket is a mount source", script: `P='` + askSelf + `'
naru run --rm --name $N -v /var/run/docker.sock:/var/run/docker.sock $IMG python3 -c "$P" /var/run/docker.sock $N
naru run --rm --name $N --mount type=bind,source=/run/docker.sock,target=/tmp/s,readonly $IMG python3 -c "$P" /tmp/s $N
S=$(naru context inspect -f '{{.Socket}}' $NARU_CONTEXT); naru run --rm --name $N -v ${S#unix://}:/s $IMG python3 -c "$P" /s $N
naru run -d --name $N -v /var/run/docker.sock:/s $IMG sleep 1000 >/dev/null; naru inspect -f '{{(index .Mounts 0).Source}}' $N`,
		stdout: "True True\nTrue True\nTrue True\n/var/run/docker.sock\n"},
}
