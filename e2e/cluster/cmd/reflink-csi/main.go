// Command reflink-csi is the CSI driver under test: one process that serves
// the controller, the node and, if asked to, the snapshot metadata of one node.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"ferry.dev/e2e/cluster/internal/driver"
	"ferry.dev/e2e/cluster/internal/faultfile"
	"ferry.dev/e2e/cluster/internal/faults"
	"ferry.dev/e2e/cluster/internal/pool"
)

type options struct {
	config       driver.Config
	pool         string
	faults       string
	socket       string
	registration string
	endpoint     string
}

func main() {
	if faultfile.Called() {
		os.Exit(faultfile.Main())
	}
	var o options
	flag.StringVar(&o.config.Name, "name", "reflink.csi.ferry.dev", "name of the driver")
	flag.StringVar(&o.config.Node, "node", "", "name of the node")
	flag.BoolVar(&o.config.Snapshots, "snapshots", true, "offer snapshots")
	flag.BoolVar(&o.config.SnapshotMetadata, "snapshot-metadata", true, "offer snapshot metadata")
	flag.StringVar(&o.pool, "pool", "", "folder of the volumes, on XFS with reflink")
	flag.StringVar(&o.faults, "faults", "", "control file of the fault switches")
	flag.StringVar(&o.socket, "socket", "/csi/csi.sock", "socket to serve CSI on")
	flag.StringVar(&o.registration, "registration-socket", "", "socket to register with the kubelet on; none if empty")
	flag.StringVar(&o.endpoint, "kubelet-endpoint", "", "path of the CSI socket as the kubelet sees it")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		slog.Error("reflink-csi ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.config.Node == "" || o.pool == "" {
		return errors.New("--node and --pool are required")
	}
	volumes, err := pool.Open(o.pool)
	if err != nil {
		return err
	}
	d, err := driver.New(o.config, volumes, faults.NewSource(o.faults))
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- d.Serve(ctx, o.socket) }()
	if o.registration != "" {
		go func() { ended <- d.ServeRegistration(ctx, o.registration, o.endpoint) }()
	}
	return <-ended
}
