//go:build cgo

package vz

import framework "github.com/Code-Hex/vz/v3"

// rosettaInstalled tells whether Apple's translator for amd64 programs is there. Installing it is up to the user:
// softwareupdate --install-rosetta asks for consent to its licence.
func rosettaInstalled() bool {
	return framework.LinuxRosettaDirectoryShareAvailability() == framework.LinuxRosettaAvailabilityInstalled
}

func rosettaShare() (framework.DirectoryShare, error) {
	return framework.NewLinuxRosettaDirectoryShare()
}
