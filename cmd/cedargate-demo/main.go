// Command cedargate-demo shows the main job with real parts: an MCP client
// calls MCP servers through Envoy, Cedargate decides, and what the client, the
// records and the servers say of it is compared line by line.
//
//	cedargate-demo                tell the story, exit 0 if all of it holds
//	cedargate-demo -up            leave everything running, with curl lines
//	cedargate-demo -policies DIR  with the *.cedar files of DIR
//
// It runs inside a checkout, on free ports of the loopback interface, and stops
// what it started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// SIGHUP is a terminal that closes. What was started has process groups of
	// its own, and would outlive it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cedargate-demo:", err)
		os.Exit(1)
	}
}

// run returns when everything it started has stopped.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("cedargate-demo", flag.ContinueOnError)
	up := flags.Bool("up", false, "leave everything running until a signal comes, and print curl lines")
	dir := flags.String("policies", "", "directory of *.cedar files to use instead of the demo's own")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("arguments %q, want none", flags.Args())
	}
	policies := worldFS("policies")
	if *dir != "" {
		policies = os.DirFS(*dir)
	}
	if *up {
		return stay(ctx, policies, stdout)
	}
	return tell(ctx, policies, stdout)
}

// starting is said before anything that may take a while.
const starting = `Starting a development issuer, two MCP servers, Cedargate and Envoy.
The first run fetches Envoy and compiles Cedargate.`

// signing is what the story does besides.
const signing = `People sign in at an OAuth server if Node and npm are there.`

// tell starts the world, tells the story and stops the world. It fails if a
// single line of the story does not hold.
func tell(ctx context.Context, policies fs.FS, stdout io.Writer) (err error) {
	t := &transcript{out: stdout}
	t.say("%s\n%s", starting, signing)
	w, err := newWorld("")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	w.offerLogin(ctx)
	main, err := w.open(ctx, gateConfig{policies: policies, login: w.login != nil})
	if err != nil {
		return err
	}
	s := &story{transcript: t, world: w, gate: main}
	s.tell(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return t.verdict()
}
