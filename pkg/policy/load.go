package policy

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"

	schematext "github.com/cedargate/cedargate/cedar"
)

// maxDenyMessage bounds what a caller is told: a proxy may cut a long answer,
// and a cut one is no JSON.
const maxDenyMessage = 1 << 10

const (
	builtinID   = "cedargate:lifecycle"
	reservedIDs = "cedargate:"
)

// A rule is one loaded policy, and what is known about it before any request.
type rule struct {
	Info
	policy      *cedar.Policy
	ast         *ast.Policy
	denyMessage string
	scope       scope
	usage       usage
	reads       []read            // of tools/call; sorted by path, prefixes first
	resources   []cedar.EntityUID // that it names: Resource and ResourceDir
	depends     []dependence      // on groups and roles, to the good of who has them left out
}

// A loader collects rules and problems. It lives as long as one Load.
type loader struct {
	config    Config
	schema    *resolved.Schema
	actions   cedar.EntityMap
	catalogue *catalogue
	rules     []*rule
	problems  []Problem
}

// Load makes a Set of c. The problems are distinct and sorted by position; the
// Set is nil if and only if one of them is not Advice. Load refuses files that
// are too large or too deep before it parses them; of a file that cannot be
// parsed it reports the first error.
func Load(c Config) (*Set, []Problem) {
	schema, err := parseSchema()
	if err != nil {
		return nil, []Problem{{Message: err.Error()}}
	}
	l := &loader{config: c, schema: schema, actions: actionEntities(schema)}
	l.catalogue, l.problems = newCatalogue(c)
	if !c.OmitBuiltin {
		l.parse(File{Text: schematext.Lifecycle})
	}
	l.parseFiles()
	l.checkIDs()
	for _, r := range l.rules {
		l.validate(r)
		l.checkNames(r)
		l.checkSpellings(r)
		l.adviseAbsent(r)
	}
	l.adviseEmpty()

	problems := sortProblems(l.problems)
	if slices.ContainsFunc(problems, func(p Problem) bool { return !p.Advice }) {
		return nil, problems
	}
	return newSet(l), problems
}

func (l *loader) parseFiles() {
	total := 0
	for _, f := range l.config.Files {
		total += len(f.Text)
	}
	if total > maxTotal {
		l.problems = append(l.problems, Problem{
			Message: fmt.Sprintf("the policy files have %d bytes together, at most %d are read", total, maxTotal),
		})
		return
	}
	for _, f := range l.config.Files {
		l.parse(f)
	}
}

func (l *loader) parse(f File) {
	if len(f.Text) > MaxFileBytes {
		l.problems = append(l.problems, Problem{
			File: f.Name, Message: fmt.Sprintf("the file has %d bytes, at most %d are read", len(f.Text), MaxFileBytes),
			Hint: "cut it into several files",
		})
		return
	}
	text := string(f.Text)
	if strings.HasPrefix(text, "\ufeff") {
		l.problems = append(l.problems, Problem{
			File: f.Name, Line: 1, Column: 1, Message: "the file begins with a byte order mark", Hint: "save it as UTF-8 without one",
		})
		return
	}
	if at, message, ok := checkCaps(text); !ok {
		l.problems = append(l.problems, Problem{File: f.Name, Line: at.line, Column: at.column, Message: message})
		return
	}
	// Not Policy.UnmarshalCedar: it ignores everything behind the first policy.
	list, err := cedar.NewPolicyListFromBytes(f.Name, f.Text)
	if err != nil {
		l.problems = append(l.problems, syntaxProblem(f.Name, text, err))
		return
	}
	for _, p := range list {
		l.rules = append(l.rules, l.newRule(f.Name, text, p))
	}
}

func (l *loader) newRule(file, text string, p *cedar.Policy) *rule {
	tree := (*ast.Policy)(p.AST())
	at, annotations := p.Position(), p.Annotations()
	r := &rule{
		Info: Info{
			ID: string(annotations["id"]), File: file, Line: at.Line, Column: at.Column,
			Forbid: p.Effect() == cedar.Forbid, Text: statement(text[at.Offset:]),
		},
		policy:      p,
		ast:         tree,
		denyMessage: string(annotations["deny_message"]),
		usage:       usageOf(tree),
		depends:     dependences(tree, p.Effect() == cedar.Forbid),
		scope: scope{
			principal: newEntityTest(tree.Principal),
			resource:  newEntityTest(tree.Resource),
			actions:   scopeActions(tree.Action, l.actions),
		},
	}
	if _, ok := annotations["id"]; !ok {
		// Not the whole path: where the files are differs between machines, and
		// records go to where they are read by others.
		r.ID = fmt.Sprintf("%s:%d", filepath.Base(file), at.Line)
	}
	l.checkAnnotations(r, annotations)
	return r
}

// statement returns text up to the semicolon that ends its first policy.
func statement(text string) string {
	lex := newLexer(text)
	for t := lex.next(); t.text != ""; t = lex.next() {
		if t.text == ";" {
			return text[:lex.offset]
		}
	}
	return text
}

// notYet lists annotations that other products obey and that would change a
// decision here: who writes one must not believe that it works.
var notYet = []string{"mode", "expires", "require_approval", "requireApproval"}

func (l *loader) checkAnnotations(r *rule, annotations cedar.Annotations) {
	for key := range annotations {
		if slices.ContainsFunc(notYet, func(n string) bool { return strings.EqualFold(n, string(key)) }) {
			l.problem(r, fmt.Sprintf("@%s is not supported yet: the policy would be enforced as if it were not there", key),
				"remove the annotation")
		}
	}
	if n := len(r.denyMessage); n > maxDenyMessage {
		l.problem(r, fmt.Sprintf("@deny_message has %d bytes, at most %d are sent", n, maxDenyMessage), "")
	}
	if _, ok := annotations["id"]; ok && r.ID == "" {
		l.problem(r, "@id is empty", `write @id("some-name"), or leave it out`)
	}
	if r.File != "" && strings.HasPrefix(r.ID, reservedIDs) {
		l.problem(r, fmt.Sprintf("id %q: ids that begin with %q are reserved", r.ID, reservedIDs), "")
	}
}

// checkIDs refuses an id that two policies have: a record that names it would
// not say which one decided.
func (l *loader) checkIDs() {
	first := map[string]*rule{}
	for _, r := range l.rules {
		other, taken := first[r.ID]
		if !taken {
			first[r.ID] = r
			continue
		}
		l.problem(r, fmt.Sprintf("id %q is also that of the policy at %s:%d:%d", r.ID, other.File, other.Line, other.Column),
			"give each policy an @id of its own")
	}
}

func (l *loader) adviseEmpty() {
	written := slices.ContainsFunc(l.rules, func(r *rule) bool { return r.File != "" })
	if written || len(l.problems) > 0 {
		return
	}
	message := "there are no policies: EVERYTHING IS DENIED"
	if !l.config.OmitBuiltin {
		message += " but what the built-in policy permits"
	}
	l.problems = append(l.problems, Problem{
		Message: message, Hint: "put files that end in .cedar into the directory of policies", Advice: true,
	})
}

// problem reports what keeps r from being loaded, at its position: the nodes
// of cedar-go's tree have none.
func (l *loader) problem(r *rule, message, hint string) {
	l.problems = append(l.problems, Problem{File: r.File, Line: r.Line, Column: r.Column, Message: message, Hint: hint})
}

// advise reports what does not keep r from being loaded.
func (l *loader) advise(r *rule, message, hint string) {
	l.problem(r, message, hint)
	l.problems[len(l.problems)-1].Advice = true
}

func sortProblems(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Message, b.Message), cmp.Compare(a.Hint, b.Hint))
	})
	return slices.Compact(problems)
}

// leaves returns the single errors that err joins.
func leaves(err error) []error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, leaves(e)...)
	}
	return all
}
