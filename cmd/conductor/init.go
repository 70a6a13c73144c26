package main

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conductor-dev/conductor/manifests"
)

//go:embed scaffold
var scaffold embed.FS

func newInit() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Scaffold .conductor.yaml and example manifests in a repository",
		Long: `Write a commented .conductor.yaml and example manifests (a tenant, budgets, a rate
card, a workflow) below DIR (default: this folder), which is made if it isn't there.
Files that exist are left alone.`,
		Example: `  conductor init
  conductor init ~/src/shop && conductor check ~/src/shop`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			dir := "."
			if len(list) == 1 {
				dir = list[0]
			}
			return runInit(cmd.OutOrStdout(), dir, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func runInit(out io.Writer, dir string, asJSON bool) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return usageError{fmt.Errorf("%s is not a folder: name another", dir)}
	}
	result := struct {
		Created []string `json:"created"`
		Kept    []string `json:"kept"`
	}{[]string{}, []string{}}
	err := fs.WalkDir(scaffold, "scaffold", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		to := strings.TrimPrefix(name, "scaffold/")
		if to == "conductor.yaml" {
			to = manifests.PolicyFile
		}
		data, err := scaffold.ReadFile(name)
		if err != nil {
			return err
		}
		created, err := writeNew(filepath.Join(dir, filepath.FromSlash(to)), data)
		if err != nil {
			return fmt.Errorf("write %s: %w", to, err)
		}
		if created {
			result.Created = append(result.Created, to)
		} else {
			result.Kept = append(result.Kept, to)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(out, result)
	}
	for _, f := range result.Created {
		fmt.Fprintf(out, "created  %s\n", f)
	}
	for _, f := range result.Kept {
		fmt.Fprintf(out, "kept     %s (it was there)\n", f)
	}
	_, err = fmt.Fprintf(out, "\nNext: conductor check %s\n", dir)
	return err
}

// writeNew writes a file that isn't there yet; false when it is.
func writeNew(path string, data []byte) (bool, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = f.Write(data)
	return true, errors.Join(err, f.Close())
}
