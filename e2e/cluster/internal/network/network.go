// Package network lays the cables: one bridge in the root namespace, and one
// network namespace a cluster with an address on it.
package network

import (
	"context"
	"errors"
	"os"
	"strings"

	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/step"
)

// EnsureBridge makes the bridge that joins the clusters and the machine, and
// completes one that an earlier run only began.
func EnsureBridge(ctx context.Context) error {
	if !linkExists(layout.Bridge) {
		if err := runAll(ctx, "ip link add "+layout.Bridge+" type bridge"); err != nil {
			return err
		}
	}
	return runAll(ctx,
		"ip addr replace "+layout.BridgeAddress+" dev "+layout.Bridge,
		"ip link set "+layout.Bridge+" up",
	)
}

// Connect makes a cluster's network namespace and plugs it into the bridge.
func Connect(ctx context.Context, c layout.Cluster) error {
	enter := "nsenter --net=" + c.NetNSPath() + " "
	gateway, _, _ := strings.Cut(layout.BridgeAddress, "/")
	return runAll(ctx,
		"ip netns add "+c.NetNS(),
		"ip link add "+c.Veth()+" type veth peer name eth0 netns "+c.NetNS(),
		"ip link set "+c.Veth()+" master "+layout.Bridge+" up",
		enter+"ip link set lo up",
		enter+"ip addr add "+c.NodeIP+"/24 dev eth0",
		enter+"ip link set eth0 up",
		enter+"ip route add default via "+gateway,
		enter+"sysctl -qw net.ipv4.ip_forward=1",
	)
}

// Disconnect removes a cluster's network namespace, and its cable with it.
func Disconnect(ctx context.Context, c layout.Cluster) error {
	var failed []error
	if _, err := os.Stat(c.NetNSPath()); err == nil {
		failed = append(failed, step.Run(ctx, "ip", "netns", "del", c.NetNS()))
	}
	// The cable goes with the namespace, a moment later; a half-made one
	// that never got there stays.
	if linkExists(c.Veth()) {
		_ = step.Run(ctx, "ip", "link", "del", c.Veth())
	}
	return errors.Join(failed...)
}

// RemoveBridge removes the bridge.
func RemoveBridge(ctx context.Context) error {
	if !linkExists(layout.Bridge) {
		return nil
	}
	return step.Run(ctx, "ip", "link", "del", layout.Bridge)
}

// Leftovers names what of a cluster's network is still there.
func Leftovers(c layout.Cluster) []string {
	var found []string
	if _, err := os.Stat(c.NetNSPath()); err == nil {
		found = append(found, "network namespace "+c.NetNS())
	}
	if linkExists(c.Veth()) {
		found = append(found, "network link "+c.Veth())
	}
	return found
}

func linkExists(name string) bool {
	_, err := os.Stat("/sys/class/net/" + name)
	return err == nil
}

func runAll(ctx context.Context, commands ...string) error {
	for _, command := range commands {
		if err := step.Run(ctx, strings.Fields(command)...); err != nil {
			return err
		}
	}
	return nil
}
