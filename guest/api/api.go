// Package api is the wire between the host and the guest beside Docker's own API: vsock ports, the handshake that
// opens every stream, the config drive's document, and the messages of the `/naru/` endpoints.
//
// The host always dials and never listens. Both sides are of one release; Version guards against a stale image.
// This package imports nothing of ours, so that host and guest can both use it.
package api

import "time"

// Version is the version of everything in this package. The guest refuses a Hello, and the keeper a config
// document, of any other version.
const Version = 1

// AF_VSOCK ports that the guest listens on. Only CID 2 (the host) may connect; each stream starts with a Hello.
const (
	PortEngine uint32 = 1024 // served by naru-engine: KindDocker and KindForward
	PortKeeper uint32 = 1025 // served by naru-keeper, also while the engine is down: KindShell, KindControl
)

// Kinds of stream, named in Hello.Kind.
const (
	KindDocker  = "docker"  // after the Hello: HTTP/1.1, the Docker Engine API and /naru/…
	KindForward = "forward" // after the Hello: raw bytes to and from Hello.Target, half-close kept; for "udp:…" datagrams, see WriteDatagram
	KindDialed  = "dialed"  // after the Hello: raw bytes of the connection asked for by OpDial; Target is the request's ID
	KindShell   = "shell"   // after the Hello: a root shell in the guest, raw bytes; the terminal size is that of Hello
	KindControl = "control" // after the Hello: one ControlRequest, answered by one ControlReply, both a JSON line
)

// Hello is the first line of every stream to the guest: one JSON object and a newline, at most MaxHello bytes.
// The guest does not answer it when it is right, so that the host can send the payload in the same packet; a
// wrong one is answered by closing the stream.
type Hello struct {
	Version int    `json:"version"`
	Token   string `json:"token"`            // the boot token of the config document
	Kind    string `json:"kind"`             // one of the Kind constants
	Target  string `json:"target,omitempty"` // KindForward: "tcp:172.17.0.2:80"; must be a published container port
	Term    string `json:"term,omitempty"`   // KindShell: TERM; empty for no terminal
	Rows    uint16 `json:"rows,omitempty"`   // KindShell: terminal size
	Cols    uint16 `json:"cols,omitempty"`
	Command string `json:"command,omitempty"` // KindShell: what to run instead of a login shell
}

// MaxHello is the most bytes a Hello line may have, newline included.
const MaxHello = 4096

// ControlRequest asks the keeper for one thing.
type ControlRequest struct {
	Op   string        `json:"op"`             // one of the Op constants
	Step time.Duration `json:"step,omitempty"` // OpStepTime
}

// Operations of a ControlRequest.
const (
	OpPoweroff = "poweroff"  // stop the containers and the engine, sync, power off; the reply comes before the work
	OpStatus   = "status"    // fills ControlReply.Status
	OpTime     = "time"      // fills ControlReply.Time
	OpStepTime = "step-time" // adds Step to the clock, which is exact however long the request took
)

// ControlReply answers a ControlRequest.
type ControlReply struct {
	Error  string    `json:"error,omitempty"`
	Status *Status   `json:"status,omitempty"`
	Time   time.Time `json:"time,omitzero"`
}

// Status is what the keeper knows of the guest. Sizes are bytes.
type Status struct {
	Kernel        string    `json:"kernel"`
	EngineRunning bool      `json:"engineRunning"`
	Containers    int       `json:"containers"` // running
	MemoryTotal   uint64    `json:"memoryTotal"`
	MemoryUsed    uint64    `json:"memoryUsed"`
	DataTotal     uint64    `json:"dataTotal"`
	DataUsed      uint64    `json:"dataUsed"`
	Booted        time.Time `json:"booted"`
}

// Notice is what the guest pushes to the host over the notify port (a virtio-serial port named NotifyPort): one
// JSON object per line.
type Notice struct {
	Kind   string `json:"kind"`             // one of the Notice constants
	Step   string `json:"step,omitempty"`   // NoticeStep: "modules", "data disk", …; NoticeFailed: the step that failed
	Detail string `json:"detail,omitempty"` // NoticeFailed: the error
}

// NotifyPort is the virtio-serial port (VZVirtioConsole, COM2 under HCS) that carries Notices.
const NotifyPort = "naru.notify"

// Kinds of Notice.
const (
	NoticeStep   = "step"   // a boot step begins
	NoticeReady  = "ready"  // the engine answers on PortEngine
	NoticeFailed = "failed" // boot cannot go on; the guest powers off
)

// Config is the one document on the config drive, `naru.json` on an ISO 9660 file system with volume label
// ConfigLabel.
type Config struct {
	Version  int       `json:"version"`
	Hostname string    `json:"hostname"`
	Token    string    `json:"token"` // asked for in each Hello
	Time     time.Time `json:"time"`  // the guest's clock is set to it when it is off by more than a second
	Network  Network   `json:"network"`
	Shares   []Share   `json:"shares,omitempty"`
	// Socket is the path on the host where the user reaches the engine; as the source of a bind it means the engine's own.
	Socket string `json:"socket,omitempty"`
	// Sockets are unix sockets of the host, outside the shares, that the user lets containers bind.
	Sockets []string `json:"sockets,omitempty"`
	// Proxy are the host's HTTP_PROXY, HTTPS_PROXY, NO_PROXY and ALL_PROXY, for the engine. One on the host's loopback is
	// reached through the host.
	Proxy map[string]string `json:"proxy,omitempty"`
	// CAs are certificates, in PEM, of authorities that the host trusts beside those that everybody does.
	CAs string `json:"cas,omitempty"`
	// Engine is what the user set for the engine in the VM.
	Engine EngineSettings `json:"engine,omitzero"`
}

// EngineSettings are the engine's own, in settings.json of a direct engine's root and in machine.json for the one in the VM.
// The names are those of Docker's daemon.json.
type EngineSettings struct {
	// UsernsRemap puts every container into a user namespace of its own: "default", "user[:group]" or ranges of ids.
	UsernsRemap string `json:"userns-remap,omitempty"`
	// LogDriver is the log driver of containers that name none, LogOpts its options; those of a container come first.
	LogDriver string            `json:"log-driver,omitempty"`
	LogOpts   map[string]string `json:"log-opts,omitempty"`
	// RegistryMirrors are asked before Docker Hub ("https://mirror.example.com"); InsecureRegistries ("host[:port]", "10.0.0.0/8")
	// need no valid certificate, and plain HTTP will do.
	RegistryMirrors    []string `json:"registry-mirrors,omitempty"`
	InsecureRegistries []string `json:"insecure-registries,omitempty"`
}

// ConfigLabel and ConfigFile say where the config document is.
const (
	ConfigLabel = "NARUCFG"
	ConfigFile  = "naru.json"
)

// Serial numbers by which the guest finds its disks (virtio-blk serial, /sys/block/*/serial).
const (
	DiskRoot   = "naru-root"
	DiskData   = "naru-data"
	DiskConfig = "naru-config"
)

// Network is the guest's own address on the user-mode network. All are textual addresses.
type Network struct {
	Address string `json:"address"` // with prefix length: "192.168.127.2/24"
	Gateway string `json:"gateway"`
	// The same by IPv6; empty where the network has none.
	Address6 string   `json:"address6,omitempty"`
	Gateway6 string   `json:"gateway6,omitempty"`
	DNS      []string `json:"dns"`
	MTU      int      `json:"mtu"`
}

// Share is a host folder that the guest mounts at the same path.
type Share struct {
	Tag      string `json:"tag"`  // virtiofs or 9p tag
	Type     string `json:"type"` // "virtiofs" or "9p"
	Path     string `json:"path"` // absolute, on the host and in the guest
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// PublishPath is an endpoint of the engine in machine mode: the host's machine daemon POSTs to it once, with
// `Connection: Upgrade` and `Upgrade: naru-publish`, and holds the stream. The engine then writes a PublishRequest
// per line and the host answers each with a PublishReply: a container start returns only after the host listens.
const PublishPath = "/naru/v1/publish"

// Ops of a PublishRequest.
const (
	OpListen = "listen" // listen for one published port
	OpClose  = "close"  // stop listening for it
	// OpDial connects to Target: a port of the host's loopback ("tcp:127.0.0.1:5000": a registry that the user named as
	// localhost), a unix socket in a share or of the settings ("unix:/home/me/x.sock"), or the user's ssh-agent (TargetAgent).
	// The host refuses anything else. After its reply it brings the connection as a stream of KindDialed.
	OpDial = "dial"
)

// TargetAgent is OpDial's word for the user's ssh-agent, and AgentSocket the source of a bind that gives it to a container, as
// in Docker Desktop.
const (
	TargetAgent = "ssh-agent"
	AgentSocket = "/run/host-services/ssh-auth.sock"
)

// PublishRequest asks the host for one thing.
type PublishRequest struct {
	ID       uint64 `json:"id"`       // echoed in the reply
	Op       string `json:"op"`       // one of the ops above
	Protocol string `json:"protocol"` // "tcp"
	HostIP   string `json:"hostIP"`   // empty: the host's default, which is loopback
	HostPort uint16 `json:"hostPort"` // 0: any free port, told in the reply
	Target   string `json:"target"`   // what the host names in Hello.Target, for example "tcp:172.17.0.2:80"
}

// PublishReply answers a PublishRequest.
type PublishReply struct {
	ID       uint64 `json:"id"`
	HostIP   string `json:"hostIP,omitempty"`   // the address it listens on
	HostPort uint16 `json:"hostPort,omitempty"` // the port it listens on
	Error    string `json:"error,omitempty"`    // for example "address already in use"
}

// InfoPath answers with Info: what Docker's /info has no word for.
const InfoPath = "/naru/v1/info"

// Info tells where and as what the engine runs.
type Info struct {
	Version string  `json:"version"`
	Mode    string  `json:"mode"`   // ModeDirect or ModeMachine
	Root    string  `json:"root"`   // the data folder, as the engine sees it
	Shares  []Share `json:"shares"` // machine mode: the host's folders that can be bind-mounted
}

// Modes of an engine.
const (
	ModeDirect  = "direct"  // on the user's own Linux
	ModeMachine = "machine" // in the VM
)

// VolumesPath/<name>/archive is a volume's files as tar. GET gives them (query compression: gzip or zstd). PUT unpacks an
// archive into the volume, which is made when it is missing (query merge=1 for one that holds files already).
const VolumesPath = "/naru/v1/volumes"
