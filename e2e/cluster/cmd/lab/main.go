// Command lab runs two Kubernetes clusters on this machine, with a storage
// driver whose faults can be switched. See the README beside its module.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"ferry.dev/e2e/cluster/internal/step"
)

// verb is one thing that lab can do.
type verb struct {
	name, arguments, does string
	run                   func(context.Context, lab, []string) error
}

// lab is what all verbs have in common.
type lab struct {
	// source is the folder with the module's go.mod.
	source string
	report *step.Reporter
}

var verbs = []verb{
	{"up", "[CLUSTER…]", "bring up both clusters, or the named", up},
	{"down", "[CLUSTER…]", "remove them with all their data, and make sure nothing is left", down},
	{"status", "", "say how the clusters are", status},
	{"env", "", "print the variables to use them: eval \"$(lab env)\"", env},
	{"load", "IMAGE.tar [CLUSTER…]", "load an image archive into them", load},
	{"image", "--name NAME --out FILE …", "make an image archive; 'image -h' tells how", makeImage},
	{"enter", "CLUSTER [-- COMMAND…]", "run a command in a cluster's network and mounts", enter},
	{"fault", "CLUSTER DRIVER JSON|clear", "turn the fault switches of a storage driver", fault},
	{"pace", "CLUSTER", "measure how fast pods with volumes come up", measure},
	{"sanity", "", "run csi-sanity against the storage driver", sanity},
	{"test", "", "run this folder's tests and csi-sanity", test},
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	l := lab{source: os.Getenv("FERRY_LAB_SOURCE"), report: step.NewReporter(os.Stderr)}
	if l.source == "" {
		fmt.Fprintln(os.Stderr, "lab: start it by the script e2e/cluster/lab, which says where its sources are")
		os.Exit(2)
	}
	for _, v := range verbs {
		if v.name == os.Args[1] {
			if err := v.run(ctx, l, os.Args[2:]); err != nil {
				fmt.Fprintf(os.Stderr, "lab %s: %v\n", v.name, err)
				os.Exit(1)
			}
			return
		}
	}
	usage()
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: lab VERB …")
	for _, v := range verbs {
		fmt.Fprintf(os.Stderr, "  %-8s%-28s%s\n", v.name, v.arguments, v.does)
	}
	os.Exit(2)
}
