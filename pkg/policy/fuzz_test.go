package policy_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
	"github.com/cedargate/cedargate/pkg/policy"
)

// FuzzLoad holds that no text makes Load panic or dawdle, and that what loads
// is listed with a text that loads again.
func FuzzLoad(f *testing.F) {
	names, err := filepath.Glob("../../testdata/policy/problems/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Files[0].Data)
	}
	for _, example := range examples(f) {
		f.Add(example.Text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		begin := time.Now()
		set, problems := policy.Load(world(policy.File{Name: "fuzz.cedar", Text: text}))
		if took := time.Since(begin); len(text) < 10_000 && took > 5*time.Second {
			t.Errorf("Load(%d bytes) took %v", len(text), took)
		}
		for _, p := range problems {
			if p.Message == "" || p.Line < 0 || p.Column < 0 {
				t.Errorf("Load() found %+v, want a message and a position", p)
			}
		}
		if set == nil {
			return
		}
		for _, info := range set.Policies() {
			c := world(policy.File{Name: "again.cedar", Text: []byte(info.Text)})
			c.OmitBuiltin = true
			if info.File == "" {
				continue // its id is reserved
			}
			again, problems := policy.Load(c)
			if again == nil || len(again.Policies()) != 1 {
				t.Errorf("Load(text of %s) found problems:\n%s", info.ID, show(problems))
			}
		}
	})
}

// FuzzArguments holds that no arguments make Decide panic or dawdle, and that
// a permit is never given to an amount that is not one.
func FuzzArguments(f *testing.F) {
	names, err := filepath.Glob("../../testdata/policy/arguments/*.json")
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	set := load(f,
		`@id("small")`, onRefund("permit", `context.args.amount <= 500 && context.args.currency == "EUR"`),
		`@id("large")`, onRefund("permit", `context.args.amount > 500 || context.args.currency != "EUR"`),
		onRefund("forbid", `context.args has tags && context.args.tags.contains("blocked")`),
		onRefund("forbid", `context.args has opts && (context.args.opts.force || context.args.opts has "dry-run")`),
		onRefund("forbid", `context.args has rate && context.args.rate.greaterThan(decimal("9.9"))`),
		onRefund("forbid", `context.args has maybe || context.args has note && context.args.note like "*x*"`))
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := strictjson.Parse(text, strictjson.Limits{Depth: 64, Elements: 10_000})
		if err != nil || value.Kind() != strictjson.Object {
			return
		}
		r := ask("alice").calls("payments", "refund", "")
		r.Arguments = value
		begin := time.Now()
		d := set.Decide(r)
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("Decide(%d bytes) took %v", len(text), took)
		}
		if len(d.Errors) > 0 {
			t.Errorf("Decide() = %+v, want no errors: arguments were checked", d)
		}
		if again := set.Decide(r); again.Reason != d.Reason || again.Argument != d.Argument {
			t.Errorf("Decide() = %+v, then %+v", d, again)
		}
		if d.Allowed && value.Get("amount").Kind() != strictjson.Number {
			t.Errorf("Decide() = %+v with amount %s", d, value.Get("amount").Raw())
		}
	})
}
