package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"ferry.dev/e2e/cluster/internal/api"
	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/manifest"
)

// recipe says what a cluster was made from, so that a later 'up' can tell what
// has changed since.
type recipe struct {
	// Programs stands for everything that runs outside of pods: programs,
	// their arguments and configurations.
	Programs string
	// Image is the image of everything that the lab runs in pods.
	Image string
	// Manifests stands for everything that is applied.
	Manifests string
}

// recipe is what a cluster would be made from now.
func (l lifter) recipe(c layout.Cluster) (recipe, error) {
	configs, err := renderConfigs(c)
	if err != nil {
		return recipe{}, err
	}
	hash := sha256.New()
	for _, p := range append(l.servers(c), l.clients(c)...) {
		fmt.Fprintln(hash, p.command)
	}
	for _, config := range configs {
		fmt.Fprintln(hash, config.path, config.text)
	}
	return recipe{
		Programs:  hex.EncodeToString(hash.Sum(nil)[:8]),
		Image:     systemImage(l.programs),
		Manifests: manifest.Fingerprint() + " " + l.programs.Sidecars,
	}, nil
}

// completeMark is there when a cluster came up to the end, and holds its recipe.
func completeMark(c layout.Cluster) string { return c.Run("complete") }

func writeRecipe(c layout.Cluster, r recipe) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(completeMark(c), text, 0o644)
}

// readRecipe returns an empty recipe for a cluster of a lab that wrote none.
func readRecipe(c layout.Cluster) recipe {
	var r recipe
	text, err := os.ReadFile(completeMark(c))
	if err != nil || json.Unmarshal(text, &r) != nil {
		return recipe{}
	}
	return r
}

// renew brings what runs in the pods of a running cluster up to date: the
// storage driver, the sidecars, the manifests. Volumes stay as they are and
// pods go on using them. What runs outside of pods can't be exchanged so.
func (l lifter) renew(ctx context.Context, c layout.Cluster) error {
	wanted, err := l.recipe(c)
	if err != nil {
		return err
	}
	have := readRecipe(c)
	if have.Programs != "" && have.Programs != wanted.Programs {
		l.report.Say("%s is up with other programs or configurations than it would get now: run 'down %s' first to have the new ones", c.Name, c.Name)
		wanted.Programs = have.Programs // and say it again the next time
	}
	if have == wanted {
		l.report.Say("%s is up already", c.Name)
		return nil
	}
	return l.report.Do("roll the storage drivers of "+c.Name, func() error {
		client, err := api.New(c)
		if err != nil {
			return err
		}
		if err := Load(ctx, c, l.archives.system); err != nil {
			return err
		}
		// The certificate stays: one that a running service doesn't have yet
		// would only break it.
		if err := l.applyAll(ctx, c, client, keepCertificate); err != nil {
			return fmt.Errorf("%w\nrun 'down %s' first", err, c.Name)
		}
		if err := waitInstalled(ctx, c, client); err != nil {
			return err
		}
		return writeRecipe(c, wanted)
	})
}
