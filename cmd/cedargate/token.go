package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/spf13/cobra"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/token"
)

// inspectTime bounds how long the keys of an issuer may take.
const inspectTime = 20 * time.Second

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Look at tokens"}
	cmd.AddCommand(tokenInspectCommand())
	return cmd
}

func tokenInspectCommand() *cobra.Command {
	var file, server string
	cmd := &cobra.Command{
		Use:   "inspect --config FILE [--server NAME] < TOKEN",
		Short: "Say why a token or API key is accepted or refused",
		Long: `Read a token or API key from standard input, make every check that serve
makes, with keys fetched from the issuer now, and say which passed and which
failed, and who the caller is to policies. Without --server it is the server at
which most checks pass. The exit status is 1 if the token would be refused. No
part of the token is printed as it was sent; its claims are.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), inspectTime)
			defer cancel()
			return inspect(ctx, file, server, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&server, "server", "", "the server that the token is for")
	return cmd
}

// inspect writes what became of the credential in stdin.
func inspect(ctx context.Context, file, server string, stdin io.Reader, stdout io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading configuration: %w", err)
	}
	c, found := config.Parse(file, text)
	if c == nil {
		return problems(found)
	}
	servers, err := candidates(c, server)
	if err != nil {
		return err
	}
	verifier, err := c.Verifier(config.Parts{ReadFile: beside(file)})
	if err != nil {
		return err
	}
	credential, err := readCredential(stdin, c.TokenBytes)
	if err != nil {
		return err
	}
	at, in := likeliest(ctx, verifier, credential, servers)
	fmt.Fprintf(stdout, "server %s, %s\n", at.Name, at.Resource)
	for _, step := range in.Steps {
		fmt.Fprintln(stdout, stepLine(step))
	}
	if in.Err != nil {
		return fmt.Errorf("refused: %s", in.Err.Reason)
	}
	fmt.Fprintln(stdout)
	describe(stdout, in.Claims)
	if len(in.Claims.Unreadable) > 0 {
		return fmt.Errorf("refused: claim_unreadable: %s", visible(strings.Join(in.Claims.Unreadable, " ")))
	}
	return nil
}

// candidates are the servers that a token may be for: the one that is named, or
// all.
func candidates(c *config.Config, name string) ([]authz.Server, error) {
	servers := c.EngineServers()
	if name == "" {
		return servers, nil
	}
	var names []string
	for _, s := range servers {
		if s.Name == name {
			return []authz.Server{s}, nil
		}
		names = append(names, s.Name)
	}
	return nil, hinted{fmt.Errorf("no server %q is configured", name), "known: " + strings.Join(names, ", ")}
}

// readCredential reads a token with blanks around it, or with "Bearer" before
// it, as it was copied.
func readCredential(stdin io.Reader, limit int) (token.Credential, error) {
	text, err := io.ReadAll(io.LimitReader(stdin, token.MaxLimit+1<<10))
	if err != nil {
		return token.Credential{}, fmt.Errorf("reading the token: %w", err)
	}
	line := strings.TrimSpace(string(text))
	if scheme, rest, ok := strings.Cut(line, " "); ok && strings.EqualFold(scheme, "Bearer") {
		line = rest
	}
	credential, unread := token.ParseCredential([]string{"Bearer " + line}, nil, limit)
	if unread != nil && unread.Fault != token.Missing {
		return credential, fmt.Errorf("refused: %w", unread)
	}
	return credential, nil
}

// likeliest inspects c at each server and returns what happened at the one at
// which most checks passed.
func likeliest(ctx context.Context, v *token.Verifier, c token.Credential, servers []authz.Server) (authz.Server, token.Inspection) {
	var at authz.Server
	var best token.Inspection
	most := -1
	for _, s := range servers {
		in, passed := v.Inspect(ctx, c, s.Accept()), 0
		for _, step := range in.Steps {
			if step.Passed {
				passed++
			}
		}
		if passed > most {
			at, best, most = s, in, passed
		}
	}
	return at, best
}

func stepLine(s token.Step) string {
	word, why := "FAIL", s.Found
	switch {
	case s.Skipped:
		word = "skip"
	case s.Passed:
		word = "pass"
	default:
		why = s.Err.Error()
	}
	return fmt.Sprintf("%s  %-18s %s", word, s.Name, visible(why))
}

// describe writes who the caller is to policies.
func describe(w io.Writer, who token.Claims) {
	principal, entities := authz.Caller(who)
	fmt.Fprintln(w, visible(principal.String()))
	e := entities[principal]
	var above []string
	for uid := range e.Parents.All() {
		above = append(above, uid.String())
	}
	slices.Sort(above)
	for _, uid := range above {
		fmt.Fprintln(w, "  in    ", visible(uid))
	}
	if who.Client != "" {
		fmt.Fprintln(w, "  client", visible(cedar.NewEntityUID("MCP::Client", cedar.String(who.Issuer+"/"+who.Client)).String()))
	}
	if who.Actor != nil {
		fmt.Fprintln(w, "  actor ", visible(cedar.NewEntityUID("MCP::Agent", cedar.String(who.Actor.Issuer+"/"+who.Actor.Subject)).String()))
	}
	for _, scope := range who.Scopes {
		fmt.Fprintln(w, "  scope ", visible(scope))
	}
	tags := e.Tags.Map()
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		fmt.Fprintf(w, "  tag    %s = %s\n", visible(string(name)), visible(tags[name].String()))
	}
	for _, name := range slices.Concat(who.AbsentGroups, who.AbsentRoles) {
		fmt.Fprintf(w, "  absent %s: where a policy could be fooled by that, 403 groups_incomplete\n", visible(name))
	}
}

// visible is s with everything escaped that could write to a terminal: whoever
// made the token chose its claims.
func visible(s string) string {
	if !strings.ContainsFunc(s, func(c rune) bool { return !strconv.IsPrint(c) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
