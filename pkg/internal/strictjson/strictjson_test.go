package strictjson_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// ruleOf returns the rule that text breaks, "" when none.
func ruleOf(text string, limits strictjson.Limits) (string, strictjson.Class) {
	_, err := strictjson.Parse([]byte(text), limits)
	var e *strictjson.Error
	if !errors.As(err, &e) {
		return "", 0
	}
	return e.Rule, e.Class
}

func TestParseAccepts(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `""`, `0`, `-0`, `null`, `true`, `false`,
		" \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n",
		`1.0`, `1e0`, `1E+10`, `-1.25e-3`,
		`"\u0000"`,                                        // NUL is only refused in names
		`"\ud83d\ude00"`, `"😀"`, `"\uFFFD"`, "\"\ufffd\"", // a pair, and the replacement character itself
		`"\"\\\/\b\f\n\r\t"`,
		`{"":1," ":2,"A":3,"a":4}`, // look-alikes are the caller's matter
		`[{"a":1},{"a":1}]`,
		"\"\x7f\"",
	} {
		if rule, _ := ruleOf(text, strictjson.Limits{}); rule != "" {
			t.Errorf("Parse(%q) breaks rule %q, want none", text, rule)
		}
	}
}

// refused are texts, the rule that each breaks, and its class.
var refused = []struct {
	text  string
	rule  string
	class strictjson.Class
}{
	{"", "unexpected end", strictjson.NotJSON},
	{"  ", "unexpected end", strictjson.NotJSON},
	{"\xef\xbb\xbf{}", "BOM", strictjson.NotJSON},
	{"{\xef\xbb\xbf}", "unexpected character", strictjson.NotJSON},
	{"{}{}", "trailing data", strictjson.NotJSON},
	{"{}\n{}", "trailing data", strictjson.NotJSON},
	{"{} // x", "trailing data", strictjson.NotJSON},
	{"{}\x00", "trailing data", strictjson.NotJSON},
	{"nullx", "trailing data", strictjson.NotJSON},
	{"\xfe\xff\x00{\x00}", "invalid UTF-8", strictjson.NotJSON},
	{"{\x00}", "unexpected character", strictjson.NotJSON},
	{"{\"a\":1,}", "unexpected character", strictjson.NotJSON},
	{"[1,]", "unexpected character", strictjson.NotJSON},
	{"[,1]", "unexpected character", strictjson.NotJSON},
	{"[1 2]", "unexpected character", strictjson.NotJSON},
	{"{'a':1}", "unexpected character", strictjson.NotJSON},
	{"{a:1}", "unexpected character", strictjson.NotJSON},
	{"{\"a\" 1}", "unexpected character", strictjson.NotJSON},
	{"{1:1}", "unexpected character", strictjson.NotJSON},
	{"[1}", "unexpected character", strictjson.NotJSON},
	{"NaN", "unexpected character", strictjson.NotJSON},
	{"TRUE", "unexpected character", strictjson.NotJSON},
	{"/**/1", "unexpected character", strictjson.NotJSON},
	{"\u00a01", "unexpected character", strictjson.NotJSON},
	{"{", "unexpected end", strictjson.NotJSON},
	{"{\"a\"", "unexpected end", strictjson.NotJSON},
	{"{\"a\":", "unexpected end", strictjson.NotJSON},
	{"{\"a\":1", "unexpected end", strictjson.NotJSON},
	{"{\"a\":1,", "unexpected end", strictjson.NotJSON},
	{"[", "unexpected end", strictjson.NotJSON},
	{"[1", "unexpected end", strictjson.NotJSON},
	{"\"a", "unexpected end", strictjson.NotJSON},
	{"\"a\\", "unexpected end", strictjson.NotJSON},
	{"+1", "unexpected character", strictjson.NotJSON},
	{"01", "bad number", strictjson.NotJSON},
	{"-", "bad number", strictjson.NotJSON},
	{"-01", "bad number", strictjson.NotJSON},
	{"1.", "bad number", strictjson.NotJSON},
	{".5", "unexpected character", strictjson.NotJSON},
	{"1e", "bad number", strictjson.NotJSON},
	{"1e+", "bad number", strictjson.NotJSON},
	{"0x10", "trailing data", strictjson.NotJSON},
	{"\"\x1f\"", "control character in a string", strictjson.NotJSON},
	{"\"a\nb\"", "control character in a string", strictjson.NotJSON},
	{`"\x41"`, "bad escape", strictjson.NotJSON},
	{`"\u12G4"`, "bad escape", strictjson.NotJSON},
	{`"\u12"`, "bad escape", strictjson.NotJSON},
	{`"\'"`, "bad escape", strictjson.NotJSON},
	{"\"\xff\"", "invalid UTF-8", strictjson.NotJSON},
	{"\"\xc0\x80\"", "invalid UTF-8", strictjson.NotJSON},     // overlong NUL
	{"\"\xed\xa0\x80\"", "invalid UTF-8", strictjson.NotJSON}, // raw surrogate
	{"\"\xf4\x90\x80\x80\"", "invalid UTF-8", strictjson.NotJSON},
	{"{\"\xff\":1}", "invalid UTF-8", strictjson.NotJSON},
	{`"\ud800"`, "lone surrogate", strictjson.Ambiguous},
	{`"\udc00"`, "lone surrogate", strictjson.Ambiguous},
	{`"\ud800\ud800"`, "lone surrogate", strictjson.Ambiguous},
	{`"\ud800\u0041"`, "lone surrogate", strictjson.Ambiguous},
	{`"\ud800x\udc00"`, "lone surrogate", strictjson.Ambiguous},
	{`{"\udbff":1}`, "lone surrogate", strictjson.Ambiguous},
	{`{"a":1,"a":1}`, "duplicate member", strictjson.Ambiguous},
	{`{"a":1,"\u0061":2}`, "duplicate member", strictjson.Ambiguous},
	{`{"é":1,"\u00e9":2}`, "duplicate member", strictjson.Ambiguous},
	{`{"😀":1,"\ud83d\ude00":2}`, "duplicate member", strictjson.Ambiguous},
	{`{"x":{"y":{"a":1,"b":2,"a":3}}}`, "duplicate member", strictjson.Ambiguous},
	{`[[[{"a":1,"a":2}]]]`, "duplicate member", strictjson.Ambiguous},
	{`{"x":[1,{"a":1,"a":2}]}`, "duplicate member", strictjson.Ambiguous},
	{`{"name\u0000":1}`, "NUL in a member name", strictjson.Ambiguous},
	{`{"x":[{"\u0000":1}]}`, "NUL in a member name", strictjson.Ambiguous},
	{`{"__proto__":1}`, "member __proto__", strictjson.Ambiguous},
	{`{"x":{"\u005f_proto__":1}}`, "member __proto__", strictjson.Ambiguous},
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range refused {
		rule, class := ruleOf(tt.text, strictjson.Limits{})
		if rule != tt.rule || class != tt.class {
			t.Errorf("Parse(%q) breaks rule %q of class %v, want %q of %v", tt.text, rule, class, tt.rule, tt.class)
		}
	}
}

func nested(depth int) string {
	return strings.Repeat(`[`, depth) + strings.Repeat(`]`, depth)
}

func distinctMembers(n int) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `"m%d":0`, i)
	}
	return b.String() + "}"
}

func TestParseLimits(t *testing.T) {
	limits := strictjson.Limits{Depth: 64, Elements: 10_000, Number: 256}
	tests := []struct {
		what, text, rule string
	}{
		{"64 arrays", nested(64), ""},
		{"65 arrays", nested(65), "nested too deep"},
		{"64 objects", strings.Repeat(`{"a":`, 64) + `1` + strings.Repeat(`}`, 64), ""},
		{"65 objects", strings.Repeat(`{"a":`, 65) + `1` + strings.Repeat(`}`, 65), "nested too deep"},
		{"many shallow arrays", "[" + strings.Repeat("[],", 9_998) + "[]]", ""},
		{"one array too many", "[" + strings.Repeat("[],", 9_999) + "[]]", "too many members, objects and arrays"},
		{"members", distinctMembers(9_999), ""},
		{"one member too many", distinctMembers(10_000), "too many members, objects and arrays"},
		{"60,000 members", distinctMembers(60_000), "too many members, objects and arrays"},
		{"60,000 scalars, as in an embedding", "[" + strings.Repeat("0.5,", 60_000) + "1]", ""},
		{"60,000 objects in an array", "[" + strings.Repeat("{},", 60_000) + "{}]", "too many members, objects and arrays"},
		{"a number of 256 bytes", strings.Repeat("1", 256), ""},
		{"a number of 257 bytes", strings.Repeat("1", 257), "number literal too long"},
		{"a number of 100,000 digits", `{"a":[0.` + strings.Repeat("1", 100_000) + `]}`, "number literal too long"},
		{"an exponent of 300 digits", "1e" + strings.Repeat("1", 300), "number literal too long"},
	}
	for _, tt := range tests {
		rule, class := ruleOf(tt.text, limits)
		if rule != tt.rule {
			t.Errorf("Parse(%s) breaks rule %q, want %q", tt.what, rule, tt.rule)
		}
		if rule != "" && class != strictjson.OverLimit {
			t.Errorf("Parse(%s) is of class %v, want OverLimit", tt.what, class)
		}
	}
}

// Without limits the recursion is bounded all the same.
func TestParseDepthIsAlwaysBounded(t *testing.T) {
	if rule, _ := ruleOf(nested(10_000), strictjson.Limits{}); rule != "" {
		t.Errorf("Parse(10,000 arrays) breaks rule %q, want none", rule)
	}
	for _, limits := range []strictjson.Limits{{}, {Depth: 1 << 30}} {
		if rule, _ := ruleOf(strings.Repeat("[", 1<<20), limits); rule != "nested too deep" {
			t.Errorf("Parse(a million brackets, %+v) breaks rule %q, want depth", limits, rule)
		}
	}
}

// A duplicate is found on both sides of the change from comparing to hashing.
func TestParseDuplicateAmongMany(t *testing.T) {
	for _, n := range []int{1, 2, 15, 16, 17, 18, 1000} {
		for _, k := range []int{0, n / 2, n - 1} {
			text := strings.TrimSuffix(distinctMembers(n), "}") + fmt.Sprintf(`,"m%d":1}`, k)
			if rule, _ := ruleOf(text, strictjson.Limits{}); rule != "duplicate member" {
				t.Errorf("Parse(%d members, then m%d again) breaks rule %q, want duplicate member", n, k, rule)
			}
		}
	}
}

// Comparing each name with all names before it would take minutes here.
func TestParseManyMembersIsLinear(t *testing.T) {
	text := []byte(distinctMembers(400_000))
	start := time.Now()
	if _, err := strictjson.Parse(text, strictjson.Limits{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("Parse(400,000 members) took %v, want well below a second", took)
	}
}

func TestErrorNamesRuleAndOffsetOnly(t *testing.T) {
	_, err := strictjson.Parse([]byte(`{"secret":1,"secret":2}`), strictjson.Limits{})
	if got, want := fmt.Sprint(err), "duplicate member at byte 12"; got != want {
		t.Errorf("Parse = %q, want %q", got, want)
	}
}

func TestValue(t *testing.T) {
	v, err := strictjson.Parse([]byte(` {"s":"\b\f\n\r\t\"\\\/a\u00e9\ud83d\ude00\n","n": 1.50 ,"t":true,"f":false,"z":null,`+
		`"o":{"in\u006eer":"x"},"a":[1, "two" ,[3],{"k":[{"deep":1}]}]} `), strictjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := v.Get("s").Text(), "\b\f\n\r\t\"\\/aé😀\n"; got != want {
		t.Errorf("Text() = %q, want %q", got, want)
	}
	if got, want := string(v.Get("n").Raw()), "1.50"; got != want {
		t.Errorf("Raw() = %q, want %q", got, want)
	}
	if !v.Get("t").True() || v.Get("f").True() || v.Get("s").True() || (strictjson.Value{}).True() {
		t.Error("True() is not that of the literal true alone")
	}
	if got := v.Get("n").Text(); got != "" {
		t.Errorf("Text() of a number = %q, want none", got)
	}
	if got, want := v.Get("o").Get("inner").Text(), "x"; got != want {
		t.Errorf("Get(inner).Text() = %q, want %q", got, want)
	}
	if got := v.Get("S").Kind(); got != strictjson.Absent {
		t.Errorf("Get(S).Kind() = %v, want Absent: names compare exactly", got)
	}
	var names []string
	for _, m := range v.Members() {
		names = append(names, m.Name)
	}
	if diff := cmp.Diff([]string{"s", "n", "t", "f", "z", "o", "a"}, names); diff != "" {
		t.Errorf("names of Members() (-want +got):\n%s", diff)
	}
}

func TestElements(t *testing.T) {
	v, err := strictjson.Parse([]byte(`[1, "two" ,[3],{"k":[{"deep":1}]},null]`), strictjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var raw []string
	var kinds []strictjson.Kind
	for e := range v.Elements() {
		raw, kinds = append(raw, string(e.Raw())), append(kinds, e.Kind())
	}
	if diff := cmp.Diff([]string{`1`, `"two"`, `[3]`, `{"k":[{"deep":1}]}`, `null`}, raw); diff != "" {
		t.Errorf("Elements() (-want +got):\n%s", diff)
	}
	wantKinds := []strictjson.Kind{strictjson.Number, strictjson.String, strictjson.Array, strictjson.Object, strictjson.Null}
	if diff := cmp.Diff(wantKinds, kinds); diff != "" {
		t.Errorf("kinds of Elements() (-want +got):\n%s", diff)
	}
	deep := slices.Collect(slices.Collect(v.Elements())[3].Get("k").Elements())[0].Get("deep")
	if got, want := string(deep.Raw()), "1"; got != want {
		t.Errorf("an object in an array in an object in an array = %q, want %q", got, want)
	}
	for _, none := range []string{`[]`, `{}`, `"[1]"`} {
		v, err := strictjson.Parse([]byte(none), strictjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(v.Elements()); len(got) != 0 {
			t.Errorf("Elements() of %s = %d values, want none", none, len(got))
		}
	}
	for range v.Elements() {
		break // stopping early must not panic
	}
}

// Scalars in arrays cost no memory: an embedding is as cheap as its text.
func TestParseScalarsInArraysAllocateNothing(t *testing.T) {
	few := []byte(`{"v":[` + strings.Repeat("0.125,", 10) + `"x"]}`)
	many := []byte(`{"v":[` + strings.Repeat("0.125,", 50_000) + `"x"]}`)
	allocs := func(text []byte) float64 {
		return testing.AllocsPerRun(5, func() {
			if _, err := strictjson.Parse(text, strictjson.Limits{}); err != nil {
				t.Fatal(err)
			}
		})
	}
	if a, b := allocs(few), allocs(many); a != b {
		t.Errorf("allocations of 10 and 50,000 scalars = %v and %v, want equal", a, b)
	}
}
