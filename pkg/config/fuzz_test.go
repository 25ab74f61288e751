package config_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/cedargate/cedargate/pkg/audit"
	"github.com/cedargate/cedargate/pkg/config"
)

// Whatever the text is, it is either refused with a position, or gives
// everything that the engine requires.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		for _, name := range files(f, folder) {
			f.Add(read(f, name))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, problems := config.Parse("fuzz.yaml", text)
		refused := false
		for i, p := range problems {
			refused = refused || !p.Advice
			if p.Line < 1 || p.Column < 1 || p.Message == "" || p.File != "fuzz.yaml" {
				t.Errorf("Parse(%q) found %+v without a position or words", text, p)
			}
			if i > 0 && (p == problems[i-1] || p.Line < problems[i-1].Line) {
				t.Errorf("Parse(%q) found %v after %v", text, p, problems[i-1])
			}
		}
		if refused == (c != nil) {
			t.Errorf("Parse(%q) made a Config: %v, refused it: %v", text, c != nil, refused)
		}
		if c != nil {
			complete(t, text, c)
		}
	})
}

// complete checks what a Config promises.
func complete(t *testing.T, text []byte, c *config.Config) {
	owners := map[[2]string]string{}
	for _, s := range c.Servers {
		if s.Location == nil || len(s.Audiences) == 0 || len(s.AuthorizationServers) != len(s.Issuers) || len(s.Issuers)+len(s.APIKeys)+len(s.Workloads) == 0 {
			t.Errorf("Parse(%q) left server %+v incomplete", text, s)
		}
		for _, host := range s.Hosts {
			for _, path := range s.Paths {
				if other, taken := owners[[2]string{host, path}]; taken {
					t.Errorf("Parse(%q) gave %s%s to %q and %q", text, host, path, other, s.Name)
				}
				owners[[2]string{host, path}] = s.Name
			}
		}
	}
	if len(owners) == 0 || len(c.Issuers)+len(c.APIKeys)+len(c.Workloads) == 0 || c.PolicyPath == "" || c.GRPC.Address == "" || c.Admin.Address == "" {
		t.Errorf("Parse(%q) = %+v, incomplete", text, c)
	}
	issuers := len(c.Issuers) + min(len(c.APIKeys), 1) + len(c.Workloads)
	if len(c.EngineServers()) != len(c.PolicyServers()) || len(c.PolicyIssuers()) != issuers {
		t.Errorf("Parse(%q) gives the engine and the policies different servers", text)
	}
	if a, problems := c.Assemble(config.Parts{Records: discard{}, ReadFile: anyFile}); a == nil {
		t.Errorf("Parse(%q) accepts what Assemble refuses:\n%s", text, report(problems))
	}
}

// anyFile stands for every file that a configuration can name: it has an
// authority and a private key, and is no empty secret.
func anyFile(string) ([]byte, error) {
	ca, err := os.ReadFile(testdata + "/ca.pem")
	key, keyErr := os.ReadFile(testdata + "/gate.pem")
	return slices.Concat(ca, key), errors.Join(err, keyErr)
}

// discard keeps no records.
type discard struct{}

func (discard) Record(context.Context, audit.Record) error { return nil }

// A file has one reading: its problems and values do not depend on the order of
// maps.
func TestParseIsDeterministic(t *testing.T) {
	for _, folder := range []string{"good", "bad"} {
		for _, name := range files(t, folder) {
			text := read(t, name)
			c, problems := config.Parse(filepath.Base(name), text)
			again, sameProblems := config.Parse(filepath.Base(name), text)
			if !reflect.DeepEqual(problems, sameProblems) || !reflect.DeepEqual(c, again) {
				t.Errorf("Parse(%s) differs from one call to the next", name)
			}
		}
	}
}
