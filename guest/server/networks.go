package server

import "naru/guest/engine/network"

func networkRoutes(m *network.Manager) []route { return nil }
