package vz

import "testing"

func TestServices(t *testing.T) {
	const dir = "/System/Library/Frameworks/Virtualization.framework/Versions/A/XPCServices/com.apple.Virtualization.VirtualMachine.xpc/Contents/MacOS/"
	before := services([]byte("    1  12345 /sbin/launchd\n  501 204800 " + dir + serviceName + "\n"))
	now := services([]byte("  501 204800 " + dir + serviceName + "\n 777   2048 " + dir + serviceName + "\n garbage\n  9 x " + serviceName + "\n"))
	if len(before) != 1 || before[501] != 200<<20 || len(now) != 2 {
		t.Errorf("before %v, now %v", before, now)
	}
	if pid := newest(before, now); pid != 777 {
		t.Errorf("the new one is %d", pid)
	}
	if pid := newest(map[int]uint64{}, now); pid != 0 {
		t.Errorf("of two new ones %d was chosen", pid)
	}
}
