package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// What encoding/json writes is read back as it was.
func TestParseRoundTrip(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		scalars := []*rapid.Generator[any]{
			rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Float64Range(-1e9, 1e9).AsAny(), rapid.String().AsAny(),
		}
		if depth > 0 {
			deeper := rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) })
			name := rapid.StringMatching(`[a-zé"\\😀]{0,3}`)
			scalars = append(scalars, rapid.MapOfN(name, deeper, 0, 20).AsAny(), rapid.SliceOfN(deeper, 0, 5).AsAny())
		}
		return rapid.OneOf(scalars...)
	}
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(value(3).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		v, err := strictjson.Parse(text, strictjson.Limits{})
		if err != nil {
			t.Fatalf("Parse(%s) = %v", text, err)
		}
		var want any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, plain(v)); diff != "" {
			t.Errorf("Parse(%s) (-want +got):\n%s", text, diff)
		}
	})
}

// plain returns v as encoding/json would decode it into an any.
func plain(v strictjson.Value) any {
	switch v.Kind() {
	case strictjson.Object:
		object := map[string]any{}
		for _, m := range v.Members() {
			object[m.Name] = plain(m.Value)
		}
		return object
	case strictjson.Array:
		array := []any{}
		for e := range v.Elements() {
			array = append(array, plain(e))
		}
		return array
	case strictjson.String:
		return v.Text()
	case strictjson.Bool:
		return v.True()
	case strictjson.Number:
		f, err := json.Number(v.Raw()).Float64()
		if err != nil {
			return err
		}
		return f
	}
	return nil
}

// FuzzParse compares with jsontext, an independent strict reader: what we take
// it takes and reads alike, and what it takes we refuse only for our own rules.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":[1,2.5e3,null]}}}`,
		`{"a":1,"a":2}`, `{"\u0000":1}`, `{"__proto__":{}}`, `["\ud83d\ude00","\ud83d"]`, "\"\xed\xa0\x80\"", "\xef\xbb\xbf1",
		`[[[[[[[[1]]]]]]]]`, `-0.0e-0`, `01`, `{"a":1}{"a":1}`, " [ { } , [ ] ] ", `"\/\b"`,
	} {
		f.Add([]byte(seed))
	}
	own := []string{"NUL in a member name", "member __proto__"}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := strictjson.Parse(text, strictjson.Limits{})
		theirs := jsontext.Value(text).IsValid()
		var e *strictjson.Error
		switch {
		case err == nil && !theirs:
			t.Fatalf("Parse(%q) takes what jsontext refuses", text)
		case errors.As(err, &e) && theirs && !slices.Contains(own, e.Rule):
			t.Fatalf("Parse(%q) = %v, want nil as jsontext", text, err)
		case err != nil:
			return
		}
		var want any
		if json.Unmarshal(text, &want) != nil {
			return // a number above float64
		}
		if diff := cmp.Diff(want, plain(v)); diff != "" {
			t.Fatalf("Parse(%q) (-encoding/json +strictjson):\n%s", text, diff)
		}
	})
}

func call(size int) []byte {
	head := `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"_meta":{"progressToken":1},"name":"query","arguments":{"rows":[`
	row := `{"id":12345,"name":"a name of some length","tags":["x","y"],"ok":true},`
	tail := `null]}}}`
	return []byte(head + strings.Repeat(row, (size-len(head)-len(tail))/len(row)) + tail)
}

func BenchmarkParse(b *testing.B) {
	limits := strictjson.Limits{Depth: 64, Elements: 100_000, Number: 256}
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		text := call(size)
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := strictjson.Parse(text, limits); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("encoding/json/%dKB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var v map[string]any
				if err := json.Unmarshal(text, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
