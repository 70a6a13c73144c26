// Command conductor is the GitHub App and its tools in one binary: it judges pull
// requests, records merges in a signed audit repository, and verifies the record.
//
// Exit codes: 0 all is well; 1 findings, or a verification that failed; 2 wrong
// usage or configuration; 3 something could not be reached.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code, silent := exitCode(err)
	if !silent {
		fmt.Fprintf(os.Stderr, "conductor: %s\n", plain(err.Error()))
	}
	return code
}
