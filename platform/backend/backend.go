// Package backend chooses the hypervisor: the one that NARU_BACKEND or the settings name, else the best on this OS.
package backend

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"naru/platform"
)

// Env names a backend for this process and its children; it beats the settings.
const Env = "NARU_BACKEND"

// Choose returns the backend for machines of arch and what it can do. want is the settings' wish, "" for none. The
// error tells of each candidate why it cannot be.
func Choose(ctx context.Context, want, arch string, log *slog.Logger) (platform.Backend, platform.Report, error) {
	if name := os.Getenv(Env); name != "" {
		want = name
	}
	return choose(ctx, all(log), want, arch)
}

// Named is what one backend can do.
type Named struct {
	Name string
	platform.Report
}

// Reports asks every backend of this program, the best first.
func Reports(ctx context.Context, arch string, log *slog.Logger) (reports []Named) {
	for _, b := range all(log) {
		reports = append(reports, Named{b.Name(), b.Check(ctx, arch)})
	}
	return reports
}

func choose(ctx context.Context, candidates []platform.Backend, want, arch string) (platform.Backend, platform.Report, error) {
	var names, reasons []string
	for _, b := range candidates {
		names = append(names, b.Name())
		if want != "" && want != b.Name() {
			continue
		}
		report := b.Check(ctx, arch)
		if report.Usable {
			return b, report, nil
		}
		reasons = append(reasons, report.Reason)
	}
	if len(reasons) == 0 {
		return nil, platform.Report{}, fmt.Errorf("no backend is named %q; there is %s", want, strings.Join(names, ", "))
	}
	return nil, platform.Report{}, fmt.Errorf("no machine can run here: %s", strings.Join(reasons, "; "))
}
