// Command cedargate is an Envoy external-authorization service for MCP
// traffic.
//
//	cedargate serve --config FILE   answer Envoy
//	cedargate check --config FILE   validate without serving
//	cedargate apikey create         make an API key
//	cedargate token inspect         say why a token is accepted or refused
//	cedargate version
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	// A reader of our standard output that goes away must not end the process:
	// the write fails, and nothing is allowed without a record.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		report(os.Stderr, err)
		os.Exit(1)
	}
}

// run carries out one command. It returns when ctx is done and everything has
// stopped in order.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:           "cedargate",
		Short:         "Envoy external authorization for MCP, decided by Cedar policies",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(serveCommand(), checkCommand(), apiKeyCommand(), tokenCommand(), versionCommand())
	return root.ExecuteContext(ctx)
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), "cedargate", version())
		},
	}
}

// version is that of the module, and the commit when it was built in a
// checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}

// A hinted error knows what the operator may do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// report writes err, and its hint, for a person.
func report(w io.Writer, err error) {
	if err, ok := errors.AsType[problems](err); ok {
		err.print(w)
		return
	}
	fmt.Fprintln(w, "cedargate:", err)
	if h, ok := errors.AsType[hinted](err); ok {
		fmt.Fprintln(w, "hint:", h.hint)
	}
}
