package config_test

import (
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/token"
)

// Problems go to the log, to records and to /readyz?verbose. A key that stands
// where its name or its hash belongs may be in use: no problem repeats it.
func TestProblemsRepeatNoKey(t *testing.T) {
	key := token.NewAPIKey()
	hash := token.HashOf(key).String()
	server := func(keys string) string {
		return "servers: [ { name: github, resource: https://mcp.example.com/mcp, api_keys: [" + keys + "] } ]\npolicies: { path: policies }\n"
	}
	for name, text := range map[string]string{
		"listed by a server":       "api_keys: [ { name: ci, hash: \"" + hash + "\" } ]\n" + server(key),
		"listed twice":             "api_keys: [ { name: ci, hash: \"" + hash + "\" } ]\n" + server(key+", "+key),
		"as its name":              "api_keys: [ { name: " + key + ", hash: \"" + hash + "\" } ]\n" + server("ci"),
		"as name and listed":       "api_keys: [ { name: " + key + ", hash: \"" + hash + "\" } ]\n" + server(key),
		"as its hash":              "api_keys: [ { name: ci, hash: " + key + " } ]\n" + server("ci"),
		"as when it expires":       "api_keys: [ { name: ci, hash: \"" + hash + "\", expires: " + key + " } ]\n" + server("ci"),
		"as a field":               "api_keys: [ { name: ci, hash: \"" + hash + "\", " + key + ": true } ]\n" + server("ci"),
		"as a field of everything": "api_keys: { " + key + ": ci }\n" + server("ci"),
		"as the header":            "api_keys: [ { name: ci, hash: \"" + hash + "\" } ]\n" + strings.Replace(server("ci"), "name: github", "name: github, api_key_header: "+key, 1),
	} {
		c, problems := config.Parse("cedargate.yaml", []byte(text))
		if c != nil || len(problems) == 0 {
			t.Errorf("%s: Parse found no problem", name)
		}
		for _, p := range problems {
			if all := p.String() + p.Hint + p.Path + p.Message; strings.Contains(all, key[4:]) {
				t.Errorf("%s: the problem has the key: %s", name, strings.ReplaceAll(all, key, "KEY"))
			}
		}
	}
}
