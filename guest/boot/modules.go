package boot

import (
	"path/filepath"

	"naru/guest/modules"
)

// startModules loads the late modules on the guest's other processor, if it has one.
func startModules(s *System) error {
	s.modules = make(chan error, 1)
	go func() { s.modules <- modules.Load(filepath.Join(modules.Dir, "late")) }()
	return nil
}

func waitModules(s *System) error { return <-s.modules }
