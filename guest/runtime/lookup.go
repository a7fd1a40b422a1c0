package runtime

// LookupUser resolves "user", "uid", "user:group" and "uid:gid" against the files in rootfs as the start of a container does.
func LookupUser(rootfs, wish string) (uid, gid uint32, err error) {
	user, _, err := lookupUser(rootfs, wish, nil)
	return user.UID, user.GID, err
}
