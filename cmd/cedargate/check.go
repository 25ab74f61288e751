package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/config"
)

func checkCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Validate configuration, schema and policies without serving",
		Long: `Validate configuration, schema and policies without serving, and list what
would be served. Every problem is printed as file:line:column: message, and the
exit status is 1 if one of them would keep Cedargate from serving.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, files, advice, err := read(file)
			if err != nil {
				return err
			}
			a, advice, err := assemble(c, config.Parts{Files: files, Records: nowhere{}, ReadFile: beside(file)}, advice)
			if err != nil {
				return err
			}
			advice.print(cmd.ErrOrStderr())
			list(cmd.OutOrStdout(), a)
			return nil
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", "", "the configuration file (required)")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag is defined a line above
	}
}

// noArguments refuses what is no flag; cobra would call it a command.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return hinted{fmt.Errorf("unexpected argument %q", args[0]), "the configuration file is given as --config FILE"}
}

// nowhere is a recorder for an engine that is never asked.
type nowhere struct{}

func (nowhere) Record(context.Context, audit.Record) error {
	return errors.New("not serving")
}

// callers says whom s takes.
func callers(s authz.Server) string {
	var all []string
	if len(s.Issuers) > 0 {
		all = append(all, "issuers: "+strings.Join(s.Issuers, " "))
	}
	if len(s.APIKeys) > 0 {
		all = append(all, "API keys: "+strings.Join(s.APIKeys, " "))
	}
	if len(s.Workloads) > 0 {
		all = append(all, "workloads: "+strings.Join(s.Workloads, " "))
	}
	if s.RequireDPoP {
		all = append(all, "bound tokens only")
	}
	if s.Anonymous {
		all = append(all, "callers without a credential")
	}
	return strings.Join(all, ", ")
}

// list shows what would be served.
func list(w io.Writer, a *config.Assembly) {
	for _, i := range a.Config.Issuers {
		fmt.Fprintf(w, "issuer  %-16s %s\n", i.Name, i.Identifier)
	}
	for _, k := range a.Config.APIKeys {
		ends := "never expires"
		if !k.Expires.IsZero() {
			ends = "expires " + k.Expires.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "key     %-16s groups: %s, %s\n", k.Name, strings.Join(k.Groups, " "), ends)
	}
	for _, l := range a.Config.Workloads {
		from, what := "peer", "spiffe://"+l.TrustDomain
		if l.Forwarded {
			from = "xfcc"
		}
		if l.DNSDomain != "" {
			what = "DNS names in " + l.DNSDomain
		}
		fmt.Fprintf(w, "workload %-15s %s, from %s\n", l.Name, what, from)
	}
	for _, s := range a.Config.Servers {
		fmt.Fprintf(w, "server  %-16s %s  %s, tools in catalogue: %d\n", s.Name, s.Resource, callers(s.Server), len(s.Tools))
	}
	for _, p := range a.Policies.Policies() {
		effect, where := "permit", "built in"
		if p.Forbid {
			effect = "forbid"
		}
		if p.File != "" {
			where = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
		}
		fmt.Fprintf(w, "policy  %-16s %s  %s\n", p.ID, effect, where)
	}
	fmt.Fprintf(w, "policy set %s\n", a.Policies.Hash())
}
