package policy_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cedargate/cedargate/pkg/policy"
)

// TestLoadProblems reads testdata/policy/problems: a policy file each, and what
// Load says of it in the shared world.
func TestLoadProblems(t *testing.T) {
	names, err := filepath.Glob("../../testdata/policy/problems/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no problems to test: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text, want := archive.Files[0], string(archive.Files[1].Data)
			set, problems := policy.Load(world(policy.File{Name: text.Name, Text: text.Data}))
			if diff := cmp.Diff(want, show(problems)); diff != "" {
				t.Errorf("Load() differs (-want +got):\n%s", diff)
			}
			if loads := !strings.Contains(want, ": error: "); loads != (set != nil) {
				t.Errorf("Load() made a Set: %v, want %v", set != nil, loads)
			}
		})
	}
}

// Hostile files are refused; without the caps some of them end the process.
func TestLoadRefusesHostileFiles(t *testing.T) {
	condition := func(text string) string { return "permit (principal, action, resource) when { " + text + " };" }
	tests := []struct{ name, text, want string }{
		{"a million brackets", condition(strings.Repeat("(", 1<<19) + "true" + strings.Repeat(")", 1<<19-100)), "nested deeper"},
		{"501 brackets", condition(strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500)), "nested deeper"},
		{"brackets behind a string", condition(`"(\"//" == "" && ` + strings.Repeat("[", 500) + strings.Repeat("]", 500)), "nested deeper"},
		{"brackets behind a comment", condition("/* \" */" + strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500)), "nested deeper"},
		{"prefixes", condition(strings.Repeat("!", 501) + "true"), "nested deeper"},
		{"minus", condition(strings.Repeat("-", 501) + "1 == 1"), "nested deeper"},
		{"a long sum", condition("1" + strings.Repeat("+1", 2001) + " == 1"), "operators"},
		{"a long choice", condition(strings.Repeat("if true then true else ", 2001) + "true"), "operators"},
		{"a long path", condition("context has " + strings.Repeat("a.", 65) + "a"), "chain"},
		{"many guards", condition(strings.Repeat("context has token && ", 101) + "true"), "has or hasTag"},
		{"many tags", condition(strings.Repeat(`principal.hasTag("a") && `, 101) + "true"), "has or hasTag"},
		{"long guards", condition(strings.Repeat("context has a.b.c.d && ", 26) + "true"), "has or hasTag"},
		{"many clauses", "permit (principal, action, resource) " + strings.Repeat("when { true } ", 6000) + ";", "operators"},
		{"a large file", strings.Repeat(" ", 1<<20+1), "at most 1048576"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set, problems := policy.Load(world(file("hostile.cedar", test.text)))
			if set != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, test.want) {
				t.Errorf("Load() = %v, %s want one problem with %q", set != nil, show(problems), test.want)
			}
		})
	}
}

// The validator of cedar-go 1.9.0 needs time and memory exponential in the depth
// of these: its error trees double, and it types again what it complains of.
func TestLoadRefusesWhatValidatesTooLong(t *testing.T) {
	nest := func(left, core, right string) string {
		return strings.Repeat(left, 60) + core + strings.Repeat(right, 60)
	}
	tests := []struct{ name, condition string }{
		{"is in", nest("(", "principal.x", " is MCP::User in principal).a")},
		{"not is in", nest("(!(", "principal.x", ") is MCP::User in principal)")},
		{"members of records", nest("{a: (if ", "context.token.acr", ` == "x" then context.token else context.token)}.a.acr`)},
		{"members of if", nest("(if ", "context.token.acr", ` == "x" then context else context).token.acr`)},
		{"if in a tag", "principal.getTag(" + nest("if true then ", `"a"`, ` else "b"`) + `).contains("x")`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := `forbid (principal is MCP::User, action == MCP::Action::"tools/list", resource) when { ` + test.condition + " };"
			set, problems := policy.Load(world(file("policy.cedar", text)))
			if set != nil || !strings.Contains(show(problems), "nested deeper than 8") {
				t.Errorf("Load() found %s, want nested deeper than 8", show(problems))
			}
		})
	}
}

func TestLoadTakesWhatIsJustSmallEnough(t *testing.T) {
	load(t,
		"permit (principal, action, resource) when { "+strings.Repeat("(", 490)+"true"+strings.Repeat(")", 490)+" };",
		"permit (principal, action, resource) when { "+strings.Repeat("!", 490)+"true };",
		"permit (principal, action, resource) when { 1"+strings.Repeat("+1", 1_900)+" == 1 };",
		"// (((("+strings.Repeat("(", 600),
		// What is not for tools/call may use the context as it likes.
		"permit (principal, action, resource is MCP::Server) when { context == context };",
		`permit (principal, action, resource is MCP::Resource in MCP::Server::"files") when { context == context };`,
	)
}

// What is wrong with a spelling on several servers is said the same each time.
func TestProblemsAreStable(t *testing.T) {
	c := world(file("policy.cedar", `forbid (principal, action, resource) when { resource.uri == "FILE:///srv/../a" };`))
	for i := range c.Servers {
		c.Servers[i].CanonicalURI = func(string) (string, error) { return "", errors.New(c.Servers[i].Name) }
	}
	_, first := policy.Load(c)
	for range 30 {
		if _, again := policy.Load(c); !cmp.Equal(first, again) {
			t.Fatalf("Load() found\n%sand then\n%s", show(first), show(again))
		}
	}
}

func TestLoadRefusesTooMuch(t *testing.T) {
	c := world()
	for i := range 17 {
		c.Files = append(c.Files, file(fmt.Sprintf("%d.cedar", i), strings.Repeat(" ", 1<<20)))
	}
	set, problems := policy.Load(c)
	if set != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "at most 16777216") {
		t.Errorf("Load(17 MiB) = %v, %s want one problem", set != nil, show(problems))
	}
}

// An unguarded path of arguments costs the validator work that doubles with
// each step.
func TestLoadRefusesDeepPaths(t *testing.T) {
	c := world(file("deep.cedar", `forbid (principal, action, resource == MCP::Tool::"files/deep") when { context.args`+strings.Repeat(".a", 20)+" == 1 };"))
	schema := `{"type": "integer"}`
	for range 20 {
		schema = `{"type": "object", "properties": {"a": ` + schema + `}}`
	}
	c.Servers[2].Tools = append(c.Servers[2].Tools, policy.Tool{Name: "deep", InputSchema: []byte(schema)})
	set, problems := policy.Load(c)
	if set != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "deeper than") {
		t.Errorf("Load() = %v, %s want one problem", set != nil, show(problems))
	}
}

func TestLoadSaysThatThereAreNoPolicies(t *testing.T) {
	set, problems := policy.Load(world(file("empty.cedar", "// nothing yet")))
	if set == nil || len(problems) != 1 || !problems[0].Advice || !strings.Contains(problems[0].Message, "EVERYTHING IS DENIED") {
		t.Errorf("Load() = %v, %s want advice", set != nil, show(problems))
	}
	if got := set.Decide(ask("alice").calls("github", "get_issue", "")); got.Reason != "no_permit" {
		t.Errorf("Decide() = %+v, want no_permit", got)
	}
}

func TestLoadAdvisesOnSourceAddress(t *testing.T) {
	c := world(file("ip.cedar", `permit (principal, action, resource) when { context has sourceIp };`))
	c.TrustedHops = false
	set, problems := policy.Load(c)
	if set == nil || len(problems) != 1 || !problems[0].Advice || !strings.Contains(problems[0].Hint, "trusted_hops") {
		t.Errorf("Load() = %v, %s want advice on trusted_hops", set != nil, show(problems))
	}
}

func TestLoadRefusesBrokenInputSchemas(t *testing.T) {
	c := world(file("any.cedar", `permit (principal, action, resource);`))
	c.Servers[2].Tools = []policy.Tool{{Name: "a", InputSchema: []byte(`{"type": "object", "type": "object"}`)}, {Name: "b", InputSchema: []byte(`[]`)}}
	set, problems := policy.Load(c)
	if set != nil || len(problems) != 2 {
		t.Errorf("Load() = %v, %s want a problem for each tool", set != nil, show(problems))
	}
}

func TestPolicies(t *testing.T) {
	text := "// a comment\n@id(\"a\")\n@deny_message(\"no; never\")\nforbid (principal, action, resource)\nwhen { context.rpcMethod == \";\" }; // tail\npermit (principal, action, resource);"
	set := load(t, text)
	var got []string
	for _, info := range set.Policies() {
		got = append(got, fmt.Sprintf("%s %s:%d:%d %v %q", info.ID, info.File, info.Line, info.Column, info.Forbid, info.Text))
	}
	if len(got) != 3 || !strings.HasPrefix(got[0], "cedargate:lifecycle :") {
		t.Fatalf("Policies() = %q, want three, the built-in one first", got)
	}
	want := []string{
		`a test.cedar:2:1 true "@id(\"a\")\n@deny_message(\"no; never\")\nforbid (principal, action, resource)\nwhen { context.rpcMethod == \";\" };"`,
		`test.cedar:6 test.cedar:6:1 false "permit (principal, action, resource);"`,
	}
	if diff := cmp.Diff(want, got[1:]); diff != "" {
		t.Errorf("Policies() differs (-want +got):\n%s", diff)
	}
}

func TestHash(t *testing.T) {
	base := world(file("a.cedar", "permit (principal, action, resource);"), file("b.cedar"))
	hash := mustLoad(t, base).Hash()
	if len(hash) != 12 {
		t.Errorf("Hash() = %q, want 12 digits", hash)
	}
	swapped := world(base.Files[1], base.Files[0])
	if got := mustLoad(t, swapped).Hash(); got != hash {
		t.Errorf("Hash() = %q with files in another order, want %q", got, hash)
	}
	others := map[string]func(*policy.Config){
		"another text":   func(c *policy.Config) { c.Files[1].Text = []byte(" ") },
		"another name":   func(c *policy.Config) { c.Files[1].Name = "c.cedar" },
		"no builtin":     func(c *policy.Config) { c.OmitBuiltin = true },
		"another tool":   func(c *policy.Config) { c.Servers[3].Tools[0].ReadOnly = false },
		"another schema": func(c *policy.Config) { c.Servers[3].Tools[0].InputSchema = []byte("{}") },
		"strict":         func(c *policy.Config) { c.Servers[3].RefuseUndeclared = true },
	}
	for name, change := range others {
		c := world(file("a.cedar", "permit (principal, action, resource);"), file("b.cedar"))
		change(&c)
		if mustLoad(t, c).Hash() == hash {
			t.Errorf("Hash() with %s is the same", name)
		}
	}
}

// Records leave the machine: an id has no directory in it.
func TestIDHasNoDirectory(t *testing.T) {
	set, problems := policy.Load(policy.Config{OmitBuiltin: true, Files: []policy.File{
		{Name: "etc/policies/main.cedar", Text: []byte("permit (principal, action, resource);")},
	}})
	if set == nil || set.Policies()[0].ID != "main.cedar:1" || set.Policies()[0].File != "etc/policies/main.cedar" {
		t.Errorf("Load = %v, %v; want a policy main.cedar:1 of etc/policies/main.cedar", set, problems)
	}
}

func TestDenyMessageIsBounded(t *testing.T) {
	for n, ok := range map[int]bool{1024: true, 1025: false} {
		text := `@deny_message("` + strings.Repeat("a", n) + `") forbid (principal, action, resource);`
		if set, problems := policy.Load(policy.Config{Files: []policy.File{{Name: "p.cedar", Text: []byte(text)}}}); (set != nil) != ok {
			t.Errorf("Load with a @deny_message of %d bytes: problems %v, want loaded %v", n, problems, ok)
		}
	}
}
