package doctor

import "golang.org/x/sys/unix"

// system looks at this Mac.
func (r *Report) system(Options) {
	version, err := unix.Sysctl("kern.osproductversion")
	if err != nil {
		return
	}
	r.add("macos", "version", OK, "", "macOS %s", version)
	if translated, err := unix.SysctlUint32("sysctl.proc_translated"); err == nil && translated == 1 {
		r.add("macos", "rosetta", Problem, "install naru for arm64", "this naru is for Intel and runs translated: its VM cannot use the hypervisor")
	}
}

func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
