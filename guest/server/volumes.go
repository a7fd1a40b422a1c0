package server

import "naru/guest/engine/volume"

func volumeRoutes(m *volume.Manager) []route { return nil }
