package machine

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

var globalMemoryStatusEx = windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")

// hostMemory is the host's memory in bytes, 0 when it cannot be told.
func hostMemory() uint64 {
	var status struct { // MEMORYSTATUSEX
		length, load                                                     uint32
		totalPhys, availPhys, totalPage, availPage, totalVirt, availVirt uint64
		availExtended                                                    uint64
	}
	status.length = uint32(unsafe.Sizeof(status))
	if ok, _, _ := globalMemoryStatusEx.Call(uintptr(unsafe.Pointer(&status))); ok == 0 {
		return 0
	}
	return status.totalPhys
}

// syncDir does nothing: NTFS journals renames, and folders cannot be flushed.
func syncDir(string) error { return nil }
