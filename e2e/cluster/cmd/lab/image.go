package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"ferry.dev/e2e/cluster/internal/image"
)

// list is a flag that can be given several times.
type list []string

func (l *list) String() string         { return strings.Join(*l, " ") }
func (l *list) Set(value string) error { *l = append(*l, value); return nil }

func makeImage(ctx context.Context, _ lab, arguments []string) error {
	var spec image.Spec
	var files, packages, entrypoint, env list
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	out := flags.String("out", "", "archive to write")
	flags.StringVar(&spec.Name, "name", "", "name of the image, with a tag other than latest")
	flags.Var(&files, "file", "HOST=>/PATH/IN/IMAGE of a file or folder; repeatable")
	flags.Var(&packages, "deb", "Debian package whose programs and libraries go in; repeatable")
	flags.BoolVar(&spec.Busybox, "busybox", false, "put in a busybox with links for all its programs")
	flags.Var(&entrypoint, "entrypoint", "word of the entry point; repeatable")
	flags.Var(&env, "env", "NAME=VALUE; repeatable")
	flags.StringVar(&spec.User, "user", "", "user that it runs as, such as 65532:65532")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if spec.Name == "" || *out == "" || flags.NArg() > 0 {
		return errors.New("--name and --out are required, and there are no other words")
	}
	for _, text := range files {
		file, err := image.ParseFile(text)
		if err != nil {
			return err
		}
		spec.Files = append(spec.Files, file)
	}
	spec.Packages, spec.Entrypoint, spec.Env = packages, entrypoint, env
	if err := spec.Write(ctx, *out); err != nil {
		return err
	}
	fmt.Println(*out)
	return nil
}
