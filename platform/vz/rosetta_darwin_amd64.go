//go:build cgo

package vz

import (
	"errors"

	framework "github.com/Code-Hex/vz/v3"
)

// On Intel there is nothing to translate.
func rosettaInstalled() bool { return false }

func rosettaShare() (framework.DirectoryShare, error) {
	return nil, errors.New("an Intel Mac has no Rosetta for Linux")
}
