package platformtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"naru/platform"
)

// TestFake holds the fake to the same contract as the real ones.
func TestFake(t *testing.T) {
	const echoPort, powerPort = 7, 8
	guest := func(ctx context.Context, g *Guest) error {
		echo, err := g.Listen(echoPort)
		if err != nil {
			return err
		}
		power, err := g.Listen(powerPort)
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { power.Close() })()
		go func() {
			for {
				c, err := echo.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(c, c)
					_ = c.Close()
				}()
			}
		}()
		fmt.Fprintln(g.Notify, "up")
		_, err = power.Accept()
		return nil
	}
	Run(t, Setup{
		Backend:  &Fake{Guest: guest},
		Machine:  func(t *testing.T) *platform.Machine { return &platform.Machine{Name: "fake", Run: t.TempDir()} },
		Ready:    func(line []byte) bool { return bytes.Equal(line, []byte("up\n")) },
		EchoPort: echoPort,
		Open:     func(net.Conn) error { return nil },
		Poweroff: func(ctx context.Context, vm platform.VM) error {
			_, err := vm.Dial(ctx, powerPort)
			return err
		},
		Boot: time.Minute,
	})
}
