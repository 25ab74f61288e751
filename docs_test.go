package cedargate_test

import (
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/policy"
)

// A page is a document with its samples, by the words behind their fence:
// "cedar", "yaml envoy", and "yaml config", which is also what a plain "yaml"
// is if it has issuers and servers.
type page struct {
	name    string
	samples []sample
}

type sample struct{ kind, text string }

// fence is a block of code, which may be indented by the list it stands in.
var fence = regexp.MustCompile("(?ms)^([ ]*)```([a-z ]+)\n(.*?)^[ ]*```$")

func pages(t *testing.T) []page {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []page
	for _, name := range append(names, "README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p := page{name: name}
		for _, match := range fence.FindAllStringSubmatch(string(text), -1) {
			sample := sample{match[2], regexp.MustCompile("(?m)^"+match[1]).ReplaceAllString(match[3], "")}
			if sample.kind == "yaml" && strings.Contains(sample.text, "issuers:") && strings.Contains(sample.text, "servers:") {
				sample.kind = "yaml config"
			}
			p.samples = append(p.samples, sample)
		}
		all = append(all, p)
	}
	return all
}

// company is what the pages speak of that have no configuration of their own.
const company = `
issuers:
  - { name: corp, issuer: https://login.example.com/, groups_claims: [groups], roles_claims: [roles] }
servers:
  - name: github
    resource: https://mcp.example.com/github/mcp
    issuers: [corp]
    environments: [prod]
    tools: [ { name: read_file, read_only: true }, { name: delete_repo, destructive: true } ]
  - name: payments
    resource: https://mcp.example.com/payments/mcp
    issuers: [corp]
    environments: [prod]
    tools:
      - name: refund
        destructive: true
        input_schema:
          type: object
          properties: { amount: { type: integer }, currency: { type: string } }
          required: [amount, currency]
  - { name: files, resource: https://mcp.example.com/files/mcp, issuers: [corp] }
  - { name: erp, resource: https://mcp.example.com/erp/mcp, issuers: [corp] }
policies: { path: policies }
trusted_hops: 1
`

// parse reads a configuration in which nothing is wrong, not even advice.
func parse(t *testing.T, name, text string) *config.Config {
	t.Helper()
	c, problems := config.Parse(name, []byte(text))
	for _, p := range problems {
		t.Errorf("%s, hint: %s", p, p.Hint)
	}
	return c
}

// Every configuration and every policy on a page does what the page says: it
// is valid, and policies mean something under the configuration above them.
func TestSamplesOfTheDocs(t *testing.T) {
	configs, policies := 0, 0
	for _, p := range pages(t) {
		t.Run(p.name, func(t *testing.T) {
			above := company
			var files []policy.File
			for _, sample := range p.samples {
				switch sample.kind {
				case "yaml config":
					configs++
					assemble(t, p.name, above, files)
					above, files = sample.text, nil
				case "cedar":
					policies++
					files = append(files, policy.File{Name: p.name, Text: []byte(sample.text)})
				}
			}
			assemble(t, p.name, above, files)
		})
	}
	if configs < 2 || policies < 2 {
		t.Errorf("found %d configurations and %d policies, want some", configs, policies)
	}
}

// assemble puts a configuration and the policies below it together.
func assemble(t *testing.T, name, text string, files []policy.File) {
	t.Helper()
	c := parse(t, name, text)
	if len(files) == 0 || c == nil {
		return
	}
	records := audit.New(io.Discard)
	defer records.Close()
	_, problems := c.Assemble(config.Parts{
		Files: files, Records: records, Log: slog.New(slog.DiscardHandler),
		ReadFile: func(string) ([]byte, error) { return []byte("a secret"), nil },
	})
	for _, problem := range problems {
		t.Errorf("%s, hint: %s", problem, problem.Hint)
	}
}

// Every piece of Envoy's configuration fits into our bootstrap, as it would
// into the reader's, and Envoy takes it.
func TestEnvoySamplesOfTheDocs(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "envoy/install.sh").Output()
	if err != nil {
		t.Fatalf("install.sh: %v", err)
	}
	found := 0
	for _, p := range pages(t) {
		for _, sample := range p.samples {
			if sample.kind != "yaml envoy" {
				continue
			}
			found++
			file := filepath.Join(t.TempDir(), "envoy.yaml")
			if err := os.WriteFile(file, merged(t, p.name, sample.text), 0o600); err != nil {
				t.Fatal(err)
			}
			said, err := exec.CommandContext(t.Context(), strings.TrimSpace(string(out)), "--mode", "validate", "-c", file, "-l", "error").CombinedOutput()
			if err != nil {
				t.Errorf("%s: envoy refuses this: %v\n%s\n%s", p.name, err, sample.text, said)
			}
		}
	}
	if found == 0 {
		t.Error("found no sample for Envoy, want some")
	}
}

// merged puts a sample into envoy/envoy.yaml: a cluster or filter takes the
// place of the one with its name; every other field is one of the connection
// manager.
func merged(t *testing.T, name, sample string) []byte {
	t.Helper()
	text, err := os.ReadFile("envoy/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	var bootstrap, piece object
	if err := yaml.Unmarshal(text, &bootstrap); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(sample), &piece); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, sample)
	}
	static := bootstrap["static_resources"].(object)
	listener := static["listeners"].([]any)[0].(object)
	chain := listener["filter_chains"].([]any)[0].(object)
	manager := chain["filters"].([]any)[0].(object)["typed_config"].(object)
	for _, key := range slices.Sorted(maps.Keys(piece)) {
		switch key {
		case "clusters":
			static[key] = replace(static[key].([]any), piece[key].([]any))
		case "http_filters":
			manager[key] = replace(manager[key].([]any), piece[key].([]any))
		case "routes":
			hosts := manager["route_config"].(object)["virtual_hosts"].([]any)
			hosts[0].(object)[key] = piece[key]
		default:
			manager[key] = piece[key]
		}
	}
	whole, err := yaml.Marshal(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// replace puts each of pieces in the place of the element with its name, or at
// the front.
func replace(list, pieces []any) []any {
	nameOf := func(v any) any { return v.(map[string]any)["name"] }
	for _, piece := range pieces {
		i := slices.IndexFunc(list, func(v any) bool { return nameOf(v) == nameOf(piece) })
		if i < 0 {
			list = slices.Insert(list, 0, piece)
			continue
		}
		list[i] = piece
	}
	return list
}
