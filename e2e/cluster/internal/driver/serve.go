package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// Serve answers CSI calls on a socket until the context ends.
func (d *Driver) Serve(ctx context.Context, socket string) error {
	server := grpc.NewServer(grpc.UnaryInterceptor(logUnary), grpc.StreamInterceptor(logStream))
	csi.RegisterIdentityServer(server, d)
	csi.RegisterControllerServer(server, d)
	csi.RegisterNodeServer(server, d)
	if d.config.SnapshotMetadata {
		csi.RegisterSnapshotMetadataServer(server, d)
	}
	return serve(ctx, server, socket)
}

// ServeRegistration tells the kubelet, which watches the folder of the
// registration socket, where to find the CSI socket. endpoint is that socket's
// path as the kubelet sees it.
func (d *Driver) ServeRegistration(ctx context.Context, socket, endpoint string) error {
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, &registrar{info: &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: d.config.Name, Endpoint: endpoint, SupportedVersions: []string{"1.0.0"},
	}})
	return serve(ctx, server, socket)
}

// registrar answers the kubelet's questions about this plugin.
type registrar struct {
	registration.UnimplementedRegistrationServer
	info *registration.PluginInfo
}

func (r *registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return r.info, nil
}

// NotifyRegistrationStatus ends the process if the kubelet refused it: a
// restart makes the kubelet look again, and nothing else does.
func (r *registrar) NotifyRegistrationStatus(_ context.Context, outcome *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !outcome.GetPluginRegistered() {
		slog.Error("the kubelet refused the driver; ending so that it is asked again", "reason", outcome.GetError())
		os.Exit(1)
	}
	slog.Info("registered with the kubelet")
	return &registration.RegistrationStatusResponse{}, nil
}

func serve(ctx context.Context, server *grpc.Server, socket string) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("clear socket: %w", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(listener); err != nil {
		return fmt.Errorf("serve on %s: %w", socket, err)
	}
	return nil
}

func logUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	response, err := handler(ctx, request)
	logCall(info.FullMethod, start, err)
	return response, err
}

func logStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	err := handler(server, stream)
	logCall(info.FullMethod, start, err)
	return err
}

func logCall(method string, start time.Time, err error) {
	if err != nil {
		slog.Warn("call", "method", method, "took", time.Since(start), "error", err)
		return
	}
	slog.Info("call", "method", method, "took", time.Since(start))
}
