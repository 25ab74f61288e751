// Package cedargate_test holds what is true of the module as a whole.
package cedargate_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/cedargate/cedargate/"

// A usage is what a directory's files use, tests apart.
type usage struct {
	imports []string
	names   []string // "net.Dial"
}

// usages are those below root, by what of gives for the name of a file: its
// directory, or the name itself.
func usages(t *testing.T, root string, of func(name string) string) map[string]*usage {
	t.Helper()
	all := map[string]*usage{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(of(name))
		if all[dir] == nil {
			all[dir] = &usage{}
		}
		return all[dir].add(file)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (u *usage) add(file *ast.File) error {
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		u.imports = append(u.imports, imported)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := selector.X.(*ast.Ident); ok {
				u.names = append(u.names, pkg.Name+"."+selector.Sel.Name)
			}
		}
		return true
	})
	return nil
}

// The import rules of the design: what a package may not know cannot leak into
// it.
func TestImportRules(t *testing.T) {
	leaves := []string{"pkg/mcp", "pkg/token", "pkg/jwks", "pkg/policy", "pkg/audit"}
	rules := []struct {
		what    string
		is      func(imported string) bool
		allowed func(dir string) bool
	}{
		{
			"only the edge knows Envoy",
			func(i string) bool { return strings.HasPrefix(i, "github.com/envoyproxy/") },
			in("pkg/extauthz", "pkg/authztest/stack"), // which plays Envoy's part
		},
		{
			"only policy knows what is unstable in cedar-go",
			func(i string) bool { return strings.HasPrefix(i, "github.com/cedar-policy/cedar-go/x/") },
			in("pkg/policy"),
		},
		{
			"files, flags and the environment are the program's",
			func(i string) bool { return i == "os" || i == "flag" || i == "os/exec" },
			in("cmd/cedargate", "cmd/cedargate-demo", "pkg/authztest"),
		},
	}
	all := usages(t, "pkg", filepath.Dir)
	maps.Copy(all, usages(t, "cmd", filepath.Dir))
	for dir, used := range all {
		for _, i := range used.imports {
			for _, rule := range rules {
				if rule.is(i) && !rule.allowed(dir) {
					t.Errorf("%s imports %s: %s", dir, i, rule.what)
				}
			}
			sibling := strings.HasPrefix(i, module) && i != module+"pkg/internal/strictjson" && i != module+"cedar"
			if slices.Contains(leaves, dir) && sibling {
				t.Errorf("%s imports %s: leaves import no sibling", dir, i)
			}
		}
	}
}

// Sockets are opened by the key sources, what asks issuers about tokens, the
// program, and what helps to test.
func TestSocketRule(t *testing.T) {
	opens := regexp.MustCompile(`^net\.(Dial|Listen|Resolve|Lookup)|^http\.(Client|DefaultClient|DefaultTransport|Transport|Get|Post|Head|Listen|Server$)|^httptest\.`)
	allowed := in("pkg/jwks", "pkg/token/introspect_http.go", "pkg/authztest")
	file := func(name string) string { return name }
	for name, used := range usages(t, "pkg", file) {
		for _, used := range used.names {
			if opens.MatchString(used) && !allowed(name) {
				t.Errorf("%s uses %s", name, used)
			}
		}
	}
}

// in allows the directories and what is below them.
func in(dirs ...string) func(string) bool {
	return func(dir string) bool {
		return slices.ContainsFunc(dirs, func(d string) bool { return dir == d || strings.HasPrefix(dir, d+"/") })
	}
}

// The rules would hold nothing if the leaves went away.
func TestLeavesExist(t *testing.T) {
	all := usages(t, "pkg", filepath.Dir)
	for _, leaf := range []string{"mcp", "token", "jwks", "policy", "audit", "authz", "extauthz", "config"} {
		if u := all["pkg/"+leaf]; u == nil || len(u.imports) == 0 {
			t.Errorf("pkg/%s is not there, or imports nothing", leaf)
		}
	}
}
