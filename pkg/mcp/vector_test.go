package mcp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/mcp"
)

const vectors = "../../testdata/mcp"

// readVector reads one file in the form that the README beside it describes.
func readVector(tb testing.TB, file string) (want string, h mcp.HTTP) {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	head, body, ok := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	want, isWant := strings.CutPrefix(lines[0], "want: ")
	if !ok || !isWant || len(lines) < 2 {
		tb.Fatalf("%s is no vector", file)
	}
	h = mcp.HTTP{Method: lines[1], Body: bytes.TrimSuffix(body, []byte("\n")), Size: -1}
	for _, line := range lines[2:] {
		name, value, _ := strings.Cut(line, ": ")
		h.Header = append(h.Header, mcp.Field{Name: name, Value: value})
	}
	return want, h
}

func vectorFiles(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob(vectors + "/*.http")
	if err != nil || len(files) < 80 {
		tb.Fatalf("Glob(%s) = %d files, %v, want all vectors", vectors, len(files), err)
	}
	return files
}

func TestVectors(t *testing.T) {
	for _, file := range vectorFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			want, h := readVector(t, file)
			call, fault := mcp.Parse(h, mcp.Rules{})
			got := "ask " + asked(call)
			if fault != nil {
				got = fmt.Sprintf("%s %d %s", fault.Reason, fault.Code, fault.Detail)
			}
			if got != want {
				t.Errorf("Parse(%s) = %q, want %q", file, got, want)
			}
		})
	}
}

// uriVectors returns pairs of what becomes of a URI and the URI.
func uriVectors(tb testing.TB) [][2]string {
	tb.Helper()
	text, err := os.ReadFile(vectors + "/uris.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var pairs [][2]string
	for line := range strings.Lines(string(text)) {
		want, sent, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			tb.Fatalf("line %q of uris.txt has no tab", line)
		}
		pairs = append(pairs, [2]string{want, sent})
	}
	return pairs
}

func TestURIVectors(t *testing.T) {
	for _, pair := range uriVectors(t) {
		u, err := mcp.CanonicalURI(pair[1], mcp.Rules{})
		got := u.Canonical
		if err != nil {
			got = "!" + err.Error()
		}
		if got != pair[0] {
			t.Errorf("CanonicalURI(%q) = %q, want %q", pair[1], got, pair[0])
		}
	}
}

// FuzzParse holds that Parse never panics, that what it takes asks something,
// and that what it echoes can stand in an answer.
func FuzzParse(f *testing.F) {
	for _, file := range vectorFiles(f) {
		_, h := readVector(f, file)
		var headers strings.Builder
		for _, field := range h.Header {
			headers.WriteString(field.Name + ": " + field.Value + "\n")
		}
		f.Add(h.Method, headers.String(), h.Body, false)
	}
	f.Fuzz(func(t *testing.T, method, headers string, body []byte, joined bool) {
		h := mcp.HTTP{Method: method, Body: body, Size: -1, Joined: joined}
		for line := range strings.SplitSeq(headers, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			h.Header = append(h.Header, mcp.Field{Name: name, Value: value})
		}
		call, fault := mcp.Parse(h, mcp.Rules{})
		if fault != nil && (fault.Reason == "" || fault.Code == 0 || fault.Detail == "") {
			t.Errorf("Parse has a fault without words: %+v", fault)
		}
		if fault == nil && len(call.Questions) == 0 {
			t.Error("Parse takes a request that asks nothing")
		}
		if call.ID != nil && (!json.Valid(call.ID) || len(call.ID) > 256 || !json.Valid(body)) {
			t.Errorf("Parse bears the id %q", call.ID)
		}
		for _, q := range call.Questions {
			named := q.Name != "" || q.URI.Canonical != "" || fault != nil && q.URI.Sent != ""
			if q.Action == "" || named != (q.Target != mcp.OnServer) {
				t.Errorf("Parse asks %+v, want an action and a target", q)
			}
			if q.Target == mcp.OnResource && q.URI.Canonical != "" {
				if bad := misplaced(q.URI); bad != "" {
					t.Error(bad)
				}
			}
		}
	})
}

// FuzzCanonicalURI holds that the canonical spelling is its own, and that
// directories are prefixes of it.
func FuzzCanonicalURI(f *testing.F) {
	for _, pair := range uriVectors(f) {
		f.Add(pair[1], false, false)
	}
	f.Add("repo://{owner}/{repo}/contents{/path*}", false, false)
	f.Add("notes/a", true, false)
	f.Add("repo://o/refs%2fheads", false, true)
	f.Fuzz(func(t *testing.T, sent string, names, slash bool) {
		rules := mcp.Rules{ResourceNames: names, EncodedSlash: slash}
		if bad := unstable(sent, rules, mcp.CanonicalURI); bad != "" {
			t.Error(bad)
		}
		if bad := unstable(sent, rules, mcp.CanonicalTemplate); bad != "" {
			t.Error(bad)
		}
	})
}

func callOf(size int) []byte {
	head := `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"_meta":{"progressToken":1},"name":"query","arguments":{"rows":[`
	row := `{"id":12345,"name":"a name of some length","tags":["x","y"],"ok":true},`
	tail := `null]}}}`
	return []byte(head + strings.Repeat(row, (size-len(head)-len(tail))/len(row)) + tail)
}

// BenchmarkParse is to be read as a ratio to encoding/json in the same run.
func BenchmarkParse(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		h := post(string(callOf(size)), "mcp-protocol-version", "2025-11-25", "content-length", "")
		h.Header[len(h.Header)-1].Value = fmt.Sprint(len(h.Body))
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(h.Body)))
			for b.Loop() {
				if _, fault := mcp.Parse(h, mcp.Rules{Elements: 100_000}); fault != nil {
					b.Fatal(reason(fault))
				}
			}
		})
		b.Run(fmt.Sprintf("encoding/json/%dKB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(h.Body)))
			for b.Loop() {
				var v map[string]any
				if err := json.Unmarshal(h.Body, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
