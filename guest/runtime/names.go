package runtime

import "strconv"

// UserNames returns the names of the users and groups of a root file system, by number. The first entry counts.
func UserNames(rootfs string) (users, groups map[int]string, err error) {
	passwd, err := readEntries(rootfs, "etc/passwd", 7)
	if err != nil {
		return nil, nil, err
	}
	group, err := readEntries(rootfs, "etc/group", 4)
	if err != nil {
		return nil, nil, err
	}
	return namesOf(passwd), namesOf(group), nil
}

func namesOf(entries [][]string) map[int]string {
	names := map[int]string{}
	for _, e := range entries {
		id, err := strconv.Atoi(e[2])
		if _, taken := names[id]; err == nil && !taken {
			names[id] = e[0]
		}
	}
	return names
}

// CheckUser refuses a user or group that a root file system does not have, in Docker's words.
func CheckUser(rootfs, wish string) error {
	_, _, err := lookupUser(rootfs, wish, nil)
	return err
}
