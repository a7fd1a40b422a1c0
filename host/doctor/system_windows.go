package doctor

import "golang.org/x/sys/windows"

// oldestBuild is Windows 10 1809, the first with unix sockets and the Host Compute System's Linux machines.
const oldestBuild = 17763

// system looks at this Windows.
func (r *Report) system(Options) {
	major, minor, build := windows.RtlGetNtVersionNumbers()
	if build < oldestBuild {
		r.add("windows", "version", Problem, "update Windows", "Windows %d.%d build %d is older than build %d", major, minor, build, oldestBuild)
		return
	}
	r.add("windows", "version", OK, "", "Windows %d.%d build %d", major, minor, build)
}

func freeSpace(dir string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, err
	}
	return free, nil
}
