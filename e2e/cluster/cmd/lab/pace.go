package main

import (
	"context"
	"errors"
	"os"

	"ferry.dev/e2e/cluster/internal/api"
	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/pace"
)

func measure(ctx context.Context, _ lab, arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("which cluster? lab pace CLUSTER")
	}
	clusters, err := layout.Named(arguments)
	if err != nil {
		return err
	}
	client, err := api.New(clusters[0])
	if err != nil {
		return err
	}
	image, err := client.Image(ctx)
	if err != nil {
		return err
	}
	const rounds = 3
	return pace.Run(ctx, client, image, rounds, os.Stdout)
}
