//go:build cgo

package vz

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	framework "github.com/Code-Hex/vz/v3"
)

// files are the host's ends of a machine's devices, as the framework wants them. They stay open as long as it runs.
type files struct {
	nic     *os.File   // nil without a network card
	ports   []*os.File // what the guest writes to each console port
	nothing *os.File   // what the guest reads from them
}

// build makes the framework's configuration of c and has it checked.
func build(c *config, f *files) (*framework.VirtualMachineConfiguration, error) {
	loader, err := framework.NewLinuxBootLoader(c.Kernel, framework.WithInitrd(c.Initrd), framework.WithCommandLine(c.Cmdline))
	if err != nil {
		return nil, err
	}
	conf, err := framework.NewVirtualMachineConfiguration(loader, uint(c.CPUs), c.Memory)
	if err != nil {
		return nil, err
	}
	for _, step := range []func(*framework.VirtualMachineConfiguration, *config, *files) error{
		addIdentity, addDisks, addShares, addNetwork, addConsole, addRest,
	} {
		if err := step(conf, c, f); err != nil {
			return nil, err
		}
	}
	if ok, err := conf.Validate(); err != nil || !ok {
		return nil, errors.Join(errors.New("the framework refuses this configuration"), err)
	}
	return conf, nil
}

// addIdentity gives the machine the identifier of its earlier runs.
func addIdentity(conf *framework.VirtualMachineConfiguration, c *config, _ *files) error {
	if c.Identity == "" {
		return nil
	}
	id, err := identifier(c.Identity)
	if err != nil {
		return fmt.Errorf("the machine's identifier: %w", err)
	}
	generic, err := framework.NewGenericPlatformConfiguration(framework.WithGenericMachineIdentifier(id))
	if err != nil {
		return err
	}
	conf.SetPlatformVirtualMachineConfiguration(generic)
	return nil
}

func identifier(path string) (*framework.GenericMachineIdentifier, error) {
	data, err := os.ReadFile(path)
	if err == nil && len(data) > 0 {
		return framework.NewGenericMachineIdentifierWithData(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	id, err := framework.NewGenericMachineIdentifier()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return id, os.WriteFile(path, id.DataRepresentation(), 0o600)
}

func addDisks(conf *framework.VirtualMachineConfiguration, c *config, _ *files) error {
	modes := map[string]framework.DiskImageSynchronizationMode{
		"full": framework.DiskImageSynchronizationModeFull,
		"none": framework.DiskImageSynchronizationModeNone,
	}
	var devices []framework.StorageDeviceConfiguration
	for _, d := range c.Disks {
		image, err := framework.NewDiskImageStorageDeviceAttachmentWithCacheAndSync(
			d.Path, d.ReadOnly, framework.DiskImageCachingModeCached, modes[d.Sync])
		if err != nil {
			return fmt.Errorf("disk %s: %w", d.Path, err)
		}
		device, err := framework.NewVirtioBlockDeviceConfiguration(image)
		if err != nil {
			return fmt.Errorf("disk %s: %w", d.Path, err)
		}
		if err := device.SetBlockDeviceIdentifier(d.Identifier); err != nil {
			return fmt.Errorf("disk %s: identifier %s: %w", d.Path, d.Identifier, err)
		}
		devices = append(devices, device)
	}
	conf.SetStorageDevicesVirtualMachineConfiguration(devices)
	return nil
}

func addShares(conf *framework.VirtualMachineConfiguration, c *config, _ *files) error {
	var devices []framework.DirectorySharingDeviceConfiguration
	for _, s := range c.Shares {
		device, err := framework.NewVirtioFileSystemDeviceConfiguration(s.Tag)
		if err != nil {
			return fmt.Errorf("share %s: %w", s.Tag, err)
		}
		folder, err := directory(s)
		if err != nil {
			return fmt.Errorf("share %s: %w", s.Path, err)
		}
		device.SetDirectoryShare(folder)
		devices = append(devices, device)
	}
	conf.SetDirectorySharingDevicesVirtualMachineConfiguration(devices)
	return nil
}

func directory(s share) (framework.DirectoryShare, error) {
	if s.Rosetta {
		return rosettaShare()
	}
	folder, err := framework.NewSharedDirectory(s.Path, s.ReadOnly)
	if err != nil {
		return nil, err
	}
	return framework.NewSingleDirectoryShare(folder)
}

func addNetwork(conf *framework.VirtualMachineConfiguration, c *config, f *files) error {
	if c.NIC == nil {
		return nil
	}
	end, err := framework.NewFileHandleNetworkDeviceAttachment(f.nic)
	if err != nil {
		return fmt.Errorf("the network card: %w", err)
	}
	if c.NIC.MTU != minMTU {
		if err := end.SetMaximumTransmissionUnit(c.NIC.MTU); err != nil {
			return fmt.Errorf("the network card: %w", err)
		}
	}
	device, err := framework.NewVirtioNetworkDeviceConfiguration(end)
	if err != nil {
		return fmt.Errorf("the network card: %w", err)
	}
	hardware, err := net.ParseMAC(c.NIC.MAC)
	if err != nil {
		return fmt.Errorf("the network card: %w", err)
	}
	mac, err := framework.NewMACAddress(hardware)
	if err != nil {
		return fmt.Errorf("the network card: %w", err)
	}
	device.SetMACAddress(mac)
	conf.SetNetworkDevicesVirtualMachineConfiguration([]*framework.VirtioNetworkDeviceConfiguration{device})
	return nil
}

func addConsole(conf *framework.VirtualMachineConfiguration, c *config, f *files) error {
	device, err := framework.NewVirtioConsoleDeviceConfiguration()
	if err != nil {
		return fmt.Errorf("the console: %w", err)
	}
	for i, p := range c.Ports {
		end, err := framework.NewFileHandleSerialPortAttachment(f.nothing, f.ports[i])
		if err != nil {
			return fmt.Errorf("the console: %w", err)
		}
		options := []framework.NewVirtioConsolePortConfigurationOption{
			framework.WithVirtioConsolePortConfigurationAttachment(end),
			framework.WithVirtioConsolePortConfigurationIsConsole(p.Console),
		}
		if p.Name != "" {
			options = append(options, framework.WithVirtioConsolePortConfigurationName(p.Name))
		}
		one, err := framework.NewVirtioConsolePortConfiguration(options...)
		if err != nil {
			return fmt.Errorf("the console: %w", err)
		}
		device.SetVirtioConsolePortConfiguration(i, one)
	}
	conf.SetConsoleDevicesVirtualMachineConfiguration([]framework.ConsoleDeviceConfiguration{device})
	return nil
}

// addRest adds what has no settings: streams, entropy. There is no balloon: what it takes from the guest it does not
// give to macOS.
func addRest(conf *framework.VirtualMachineConfiguration, _ *config, _ *files) error {
	sockets, err := framework.NewVirtioSocketDeviceConfiguration()
	if err != nil {
		return fmt.Errorf("the socket device: %w", err)
	}
	conf.SetSocketDevicesVirtualMachineConfiguration([]framework.SocketDeviceConfiguration{sockets})
	entropy, err := framework.NewVirtioEntropyDeviceConfiguration()
	if err != nil {
		return fmt.Errorf("the entropy device: %w", err)
	}
	conf.SetEntropyDevicesVirtualMachineConfiguration([]*framework.VirtioEntropyDeviceConfiguration{entropy})
	return nil
}
