package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/token"
)

func apiKeyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "apikey", Short: "Make API keys"}
	cmd.AddCommand(apiKeyCreateCommand())
	return cmd
}

// A newKey is what the operator says about a key that is to be made.
type newKey struct {
	name            string
	groups, servers []string
	expires         string
}

func apiKeyCreateCommand() *cobra.Command {
	var k newKey
	cmd := &cobra.Command{
		Use:   "create --name NAME",
		Short: "Make an API key and print it once",
		Long: `Make an API key. The key goes to standard output, and nowhere else: only its
hash is kept. What to add to the configuration goes to standard error.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.create(cmd.OutOrStdout(), cmd.ErrOrStderr(), time.Now())
		},
	}
	cmd.Flags().StringVar(&k.name, "name", "", "who has the key: the principal is MCP::Agent::\"key/NAME\" (required)")
	cmd.Flags().StringSliceVar(&k.groups, "groups", nil, "groups of the principal, separated by commas: MCP::Group::\"key/GROUP\"")
	cmd.Flags().StringVar(&k.expires, "expires", "", "when the key ends, RFC 3339, such as 2027-01-31T00:00:00Z (default: never)")
	cmd.Flags().StringSliceVar(&k.servers, "servers", nil, "the servers that are to accept it, separated by commas")
	if err := cmd.MarkFlagRequired("name"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

func (k newKey) create(stdout, stderr io.Writer, now time.Time) error {
	if k.expires != "" {
		at, err := time.Parse(time.RFC3339, k.expires)
		if err != nil {
			return hinted{fmt.Errorf("--expires is %q, want a time with its zone", k.expires), "write 2027-01-31T00:00:00Z"}
		}
		if !at.After(now) {
			return fmt.Errorf("--expires is %s: the key would never be accepted", k.expires)
		}
	}
	key := token.NewAPIKey()
	entry := k.entry(token.HashOf(key))
	if err := k.check(entry); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, key); err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	to := "to each server that is to accept it"
	if len(k.servers) > 0 {
		to = "to each of the servers " + strings.Join(k.servers, ", ")
	}
	_, err := fmt.Fprintf(stderr, "The key is shown this once. Add to the configuration:\n\napi_keys:\n%s\nand %s:\n\n    api_keys: [%s]\n", entry, to, quote(k.name))
	if err != nil {
		return fmt.Errorf("writing the entry: %w", err)
	}
	return nil
}

// entry is the element of api_keys, a line for each field.
func (k newKey) entry(hash token.KeyHash) string {
	entry := fmt.Sprintf("  - name: %s\n    hash: %s\n", quote(k.name), hash)
	if len(k.groups) > 0 {
		var quoted []string
		for _, g := range k.groups {
			quoted = append(quoted, quote(g))
		}
		entry += "    groups: [" + strings.Join(quoted, ", ") + "]\n"
	}
	if k.expires != "" {
		entry += "    expires: " + k.expires + "\n"
	}
	return entry
}

// quote writes s as JSON does, which is YAML too.
func quote(s string) string {
	text, _ := json.Marshal(s) // a string always can be written
	return string(text)
}

// check reads entry as serve will.
func (k newKey) check(entry string) error {
	text := "api_keys:\n" + entry + "servers: [ { name: any, resource: https://mcp.example.com/, api_keys: [" + quote(k.name) + "] } ]\npolicies: { path: policies }\n"
	_, found := config.Parse("the entry", []byte(text))
	for _, p := range found {
		if !p.Advice {
			return fmt.Errorf("--%s %s", strings.TrimPrefix(p.Path, "api_keys[0]."), p.Message)
		}
	}
	return nil
}
