package api

// KindWatch is a stream to the engine, after whose Hello both sides send JSON lines of at most MaxWatchLine bytes: the guest
// a WatchRequest for the folders that its programs watch, the host a WatchEvents for what happened in them. What the
// guest itself did is not told: it knows.
const KindWatch = "watch"

const (
	MaxWatchLine    = 256 << 10
	MaxWatchFolders = 24  // new ones in one request
	MaxWatchEvents  = 256 // in one line
)

// WatchRequest changes what the host watches. Folders are known by numbers that the guest gives and never gives again on
// the same stream.
type WatchRequest struct {
	Add    []WatchFolder `json:"add,omitempty"`
	Remove []uint64      `json:"remove,omitempty"`
}

// WatchFolder is a folder in a share; what is in its folders is not watched with it.
type WatchFolder struct {
	ID   uint64 `json:"id"`
	Path string `json:"path"` // as in a share's Path: the same on the host and in the guest
}

// WatchEvents are in the order in which they happened.
type WatchEvents struct {
	Events []FileEvent `json:"events"`
}

// FileEvent is one change, or several of one name that came one after another. Names are bytes: a file system knows no
// encoding.
type FileEvent struct {
	Kind   FileKind `json:"kind"`
	Folder uint64   `json:"folder,omitempty"` // where it happened; 0 for a move from an unwatched one
	Name   []byte   `json:"name,omitempty"`   // "" with FileDeletedSelf
	To     uint64   `json:"to,omitempty"`     // FileMovedTo
	ToName []byte   `json:"toName,omitempty"`
}

// FileKind is a set of what happened to a name; the values are those of inotify(7).
type FileKind uint32

// What can happen.
const (
	FileModified    FileKind = 0x2
	FileAttributes  FileKind = 0x4
	FileClosed      FileKind = 0x8 // after it was open for writing
	FileMovedFrom   FileKind = 0x40
	FileMovedTo     FileKind = 0x80
	FileCreated     FileKind = 0x100
	FileDeleted     FileKind = 0x200
	FileDeletedSelf FileKind = 0x400 // the folder itself
	FileIsFolder    FileKind = 0x40000000

	FileKinds = FileModified | FileAttributes | FileClosed | FileMovedFrom | FileMovedTo | FileCreated | FileDeleted | FileDeletedSelf | FileIsFolder
)
