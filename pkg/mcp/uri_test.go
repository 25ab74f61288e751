package mcp_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cedargate/cedargate/pkg/mcp"
)

// spellings has the one name of a resource, and a spelling that came.
var spellings = []struct{ want, sent string }{
	{"file:///priv%C3%A9", "file:///privé"},
	{"file:///priv%C3%A9", "file:///priv%C3%A9"},
	{"file:///priv%C3%A9", "FILE:///%70riv%c3%a9"},
	{"file:///C:/a", "file:///c:/a"},
	{"file:///C:/a", "file:///c%3a/a"},
	{"file:///C:", "file:///c:"},
	{"file:///cc:/a", "file:///cc:/a"},
	{"file:///c:a", "file:///c:a"},
	{"file:///a/c:/b", "file:///a/c:/b"},
	{"file:///", "file:///"},
	{"file:///a/", "file:///a/"},
	{"file:///a%20b%3Fc%23d", "file:///a%20b%3fc%23d"},

	// In a path sub-delims, ":" and "@" are raw; all else is encoded.
	{"x://h/private!$&'()*+,;=:@-._~", "x://h/private%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40%2D%2E%5F%7E"},
	{"x://h/%22%3C%3E%5B%5D%5E%60%7B%7C%7D%25", "x://h/\"<>[]^`{|}%25"},
	{"x://h/%25zz", "x://h/%25zz"},
	{"x://h/...", "x://h/.%2e."},
	{"x://h/a..", "x://h/a.."},
	{"x://h/%F0%9F%98%80", "x://h/😀"},
	{"x://h/%C2%A0", "x://h/%c2%a0"},

	// In a query "&" and "%26" differ.
	{"x://h/a?b=c&d%26e%2F%3D~", "x://h/a?b=c&d%26e%2f%3d%7e"},
	{"x://h/a?%22%5B%5D%C3%A9%5E%5D", "x://h/a?\"[]é^%5d"},
	{"x://h/a?b/c?d/../e//f", "x://h/a?b/c?d/../e//f"},
	{"x://h/a?", "x://h/a?"},
	{"x://h/a?b#c%23d/?", "x://h/a?b#c#d/?"},
	{"x://h/a#b?c", "x://h/a#b?c"},
	{"https://h/?q", "https://h?q"},

	// Authorities.
	{"https://example.com/A", "HTTPS://Example.COM/A"},
	{"https://example.com/", "https://example.com"},
	{"ws://h:8080/", "WS://H:8080"},
	{"https://h:80/", "https://h:80/"},
	{"http://h:443/", "http://h:443"},
	{"http://h:65535/", "http://h:65535/"},
	{"http://a_b-c.d1/", "http://a_b-c.d1/"},
	{"http://127.0.0.1/", "http://127.0.0.1/"},
	{"http://1.2.3.a/", "http://1.2.3.a/"},
	{"http://[2001:db8::1]/", "http://[2001:DB8::1]"},
	{"http://[::1]:8080/", "http://[::1]:8080"},
	{"repo://Owner/Name", "REPO://Owner/Name"},
	{"repo://%C3%A9!", "repo://é%21"},
	{"x://h", "x://h"},
	{"x://h/", "x://h/"},
	{"x://h?q", "x://h?q"},
	{"x:///a", "x:///a"},
	{"x://a:b/c", "x://a:b/c"},
	{"x://h:21/", "x://h:21/"},
	{"ssh://git@host:22/a", "ssh://git@host:22/a"},
	{"ssh://g!t@host/a", "ssh://g%21t@host/a"},

	// Without an authority.
	{"urn:isbn:0451450523", "URN:isbn:0451450523"},
	{"mailto:a@b.c", "mailto:a@b.c"},
	{"x:a/b/", "x:a/b/"},
	{"x:/a", "x:/a"},
	{"a+b-c.1:x", "A+B-C.1:x"},
}

// One resource has one name, whatever spelling came.
func TestCanonicalURI(t *testing.T) {
	for _, tt := range spellings {
		got, err := mcp.CanonicalURI(tt.sent, mcp.Rules{})
		if err != nil || got.Canonical != tt.want {
			t.Errorf("CanonicalURI(%q) = %q, %v, want %q", tt.sent, got.Canonical, err, tt.want)
		}
		if err == nil && got.Sent != tt.sent {
			t.Errorf("CanonicalURI(%q).Sent = %q, want it as it came", tt.sent, got.Sent)
		}
	}
}

func TestCanonicalURIRefuses(t *testing.T) {
	tests := []struct {
		want string
		sent []string
	}{
		{"URI without a scheme", []string{"", "notes", "/etc/passwd", "//h/a", ":a", "1a:b", "é:x", "a_b:c", "%78:y"}},
		{"URI with a blank or control character", []string{"x:a b", " x:a", "x:a ", "x:a\tb", "x:a\n", "x:\x00", "x:\x7f", "x:\u0085", "x:\u00a0", "x:a\u2028", "x:\u3000", "x:\x01"}},
		{"URI with a backslash", []string{`x:a\b`, `http:\\h\a`, `file:///c:\a`}},
		{"URI that is not UTF-8", []string{"x:\xff", "x:\xed\xa0\x80", "x:\xc3"}},
		{"bad percent-encoding", []string{"x:%", "x:%4", "x:%zz", "x:a%4g", "x:a?b%", "x://%/a", "x:a#%1"}},
		{"encoded control character", []string{"x:%00", "x:%1f", "x:%0A", "x:%7f", "x:a?b%00", "x://%09/a"}},
		{"encoded backslash", []string{"x:%5c", "x:a?%5C", "x:..%5c..", "x:a#%5c"}},
		{"double percent-encoding", []string{"x:%2541", "x:%252e%252e", "x:a?b%252f", "x:%25%34%31", "x:%254%31", "x:a?%25%34%31"}},
		{"percent-encoding that is not UTF-8", []string{"x:%ff", "x:%c3", "x:%c3é", "x:%ed%a0%80", "x:%c0%80", "x:a?b%e9"}},
		{"dot segment", []string{"x://h/../a", "x://h/.", "x://h/a/..", "x://h/%2e%2e/a", "x://h/.%2E", "x:.", "x:../a", "file:///./a"}},
		{"empty path segment", []string{"x://h//a", "x://h/a//", "x://h/a//b", "x:////a", "x://h//", "file:////a"}},
		{"encoded slash in the path", []string{"x://h/a%2fb", "x:a%2Fb", "file:///a%2fb"}},
		{"URI with a fragment", []string{"http://h/#a", "https://h/a#", "ws://h#a", "wss://h#a", "file:///a#b"}},
		{"file URI with a query", []string{"file:///a?b", "file:///a?"}},
		{"file URI with |", []string{"file:///c|/a", "file:///c%7C/a"}},
		{"file URI that does not begin file:///", []string{"file:a", "file:/a", "file://a", "file://localhost/a", "file://", "file:"}},
		{"bad host", []string{"http:", "http:a", "http:/a", "http:///a", "http://", "http://:8080/", "http://h%61/", "http://é/", "http://h./", "http://.h/",
			"http://a..b/", "http://1/", "http://127.1/", "http://0x7f.1/", "http://0x7f/", "http://a.0x1/", "http://a.1/", "http://256.1.1.1/", "http://01.1.1.1/",
			"http://1.2.3.4.5/", "http://[::1/", "http://::1]/", "http://[0:0::1]/", "http://[::1%25eth]/", "http://[127.0.0.1]/", "http://a!/",
			"http://[::01]/", "http://[2001:db8:0:0:0:0:0:1]/", "http://[]/", "http://[::1:8080/", "http://[2001:db8::1:8080",
			// Not ASCII, but their lower case is in the tables of Unicode.
			"https://g\u0130thub.com/", "https://\u212aube.example/"}},
		{"bad port", []string{"http://h:/", "http://h:08/", "http://h:0/", "http://h:65536/", "http://h:+8/", "http://h:8a/", "http://[::1]8080/", "http://[::1]:/"}},
		{"URI with an explicit default port", []string{"http://h:80/", "https://h:443/", "ws://h:80/", "wss://h:443/", "http://[::1]:80/"}},
		{"URI with a userinfo", []string{"http://u@h/", "https://u:p@h/", "ws://@h/", "http://a@b@h/"}},
		{"URI with a userinfo that is empty or has a password", []string{"x://u:p@h/", "x://@h/", "x://:@h/", "x://a@b@h/"}},
		{"encoded delimiter in the authority", []string{"x://a%2fb/", "x://a%3A1/", "x://u%40h/", "x://u%3ap@h/"}},
		{"URI without a host", []string{"x://u@/", "x://:22/", "x://../a", "x://./", "x://%2e%2e/a"}},
		{"port that is empty or has a leading zero", []string{"x://h:/a", "x://h:022/a", "x://h:0"}},
		{"URI longer than 8 KiB", []string{"x:" + strings.Repeat("a", 8191), "x:" + strings.Repeat("<", 3000)}},
		{"URI with more than 64 path segments", []string{"x:a" + strings.Repeat("/a", 64), "x://h" + strings.Repeat("/", 4000)}},
	}
	for _, tt := range tests {
		for _, sent := range tt.sent {
			got, err := mcp.CanonicalURI(sent, mcp.Rules{})
			if err == nil || err.Error() != tt.want {
				t.Errorf("CanonicalURI(%q) = %q, %v, want %q", sent, got.Canonical, err, tt.want)
			}
		}
	}
}

func TestCanonicalURIParts(t *testing.T) {
	tests := []mcp.URI{
		{
			Canonical: "file:///srv/secret.txt", Scheme: "file", Path: "/srv/secret.txt",
			Dirs: []string{"file:///", "file:///srv/", "file:///srv/secret.txt/"},
		},
		{
			Canonical: "file:///srv/", Scheme: "file", Path: "/srv/",
			Dirs: []string{"file:///", "file:///srv/"},
		},
		{
			Canonical: "https://h:8443/a/b?c/d", Scheme: "https", Host: "h", Path: "/a/b",
			Dirs: []string{"https://h:8443/", "https://h:8443/a/", "https://h:8443/a/b/"},
		},
		{
			Canonical: "ssh://git@host/a#f/g", Scheme: "ssh", Host: "host", Path: "/a",
			Dirs: []string{"ssh://host/", "ssh://host/a/"},
		},
		{
			Canonical: "repo://owner", Scheme: "repo", Host: "owner", Path: "",
			Dirs: []string{"repo://owner/"},
		},
		{
			Canonical: "urn:a/b", Scheme: "urn", Path: "a/b",
			Dirs: []string{"urn:a/", "urn:a/b/"},
		},
		{Canonical: "http://[::1]/", Scheme: "http", Host: "[::1]", Path: "/", Dirs: []string{"http://[::1]/"}},
	}
	for _, want := range tests {
		want.Sent = want.Canonical
		got, err := mcp.CanonicalURI(want.Canonical, mcp.Rules{})
		if err != nil {
			t.Errorf("CanonicalURI(%q) = %v", want.Canonical, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("CanonicalURI(%q) (-want +got):\n%s", want.Canonical, diff)
		}
	}
}

func TestCanonicalURIEncodedSlash(t *testing.T) {
	rules := mcp.Rules{EncodedSlash: true}
	got, err := mcp.CanonicalURI("repo://o/n/refs%2fheads%2Fa/x", rules)
	want := mcp.URI{
		Canonical: "repo://o/n/refs%2Fheads%2Fa/x", Sent: "repo://o/n/refs%2fheads%2Fa/x", Scheme: "repo", Host: "o", Path: "/n/refs%2Fheads%2Fa/x",
		Dirs: []string{"repo://o/", "repo://o/n/", "repo://o/n/refs%2Fheads%2Fa/", "repo://o/n/refs%2Fheads%2Fa/x/"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("CanonicalURI with encoded slashes = %v (-want +got):\n%s", err, diff)
	}
	for _, sent := range []string{"file:///a%2fb", "x://h/a%2f..%2fb", "x://h/..%2Fb", "x://h/%2e%2e%2f", "x://h/%2fetc", "x://h/a%2f%2fb", "x://a%2fb/"} {
		if got, err := mcp.CanonicalURI(sent, rules); err == nil {
			t.Errorf("CanonicalURI(%q) with encoded slashes = %q, want an error", sent, got.Canonical)
		}
	}
}

func TestCanonicalURIResourceNames(t *testing.T) {
	rules := mcp.Rules{ResourceNames: true}
	for _, name := range []string{"notes", "a/b", "/a", "a/", "Größe", "1:2", "a?b#c", "[x]"} {
		got, err := mcp.CanonicalURI(name, rules)
		want := mcp.URI{Canonical: name, Sent: name, Path: name}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("CanonicalURI(%q) as a name = %v (-want +got):\n%s", name, err, diff)
		}
	}
	for _, name := range []string{"", "/", "a b", "a\t", `a\b`, "a%41", "a//b", "//a", "..", "a/../b", "./a", "a\u00a0", strings.Repeat("a/", 65)} {
		if got, err := mcp.CanonicalURI(name, rules); err == nil {
			t.Errorf("CanonicalURI(%q) as a name = %q, want an error", name, got.Canonical)
		}
	}
	if got, err := mcp.CanonicalURI("FILE:///a", rules); err != nil || got.Canonical != "file:///a" {
		t.Errorf("CanonicalURI(FILE:///a) = %q, %v, want file:///a: it has a scheme", got.Canonical, err)
	}
}

func TestCanonicalTemplate(t *testing.T) {
	tests := []struct {
		sent string
		want mcp.URI
	}{
		{"repo://{owner}/{repo}/contents{/path*}", mcp.URI{
			Canonical: "repo://{owner}/{repo}/contents{/path*}", Scheme: "repo", Path: "/{repo}/contents{/path*}", Prefix: "repo://",
		}},
		{"FILE:///srv/%70rivé/{+path}", mcp.URI{
			Canonical: "file:///srv/priv%C3%A9/{+path}", Scheme: "file", Path: "/srv/priv%C3%A9/{+path}", Prefix: "file:///srv/priv%C3%A9/",
			Dirs: []string{"file:///", "file:///srv/", "file:///srv/priv%C3%A9/"},
		}},
		{"x://h/a/b-{id}", mcp.URI{
			Canonical: "x://h/a/b-{id}", Scheme: "x", Host: "h", Path: "/a/b-{id}", Prefix: "x://h/a/b-",
			Dirs: []string{"x://h/", "x://h/a/"},
		}},
		{"https://H/items?page={n}{&more}", mcp.URI{
			Canonical: "https://h/items?page={n}{&more}", Scheme: "https", Host: "h", Path: "/items", Prefix: "https://h/items?page=",
			Dirs: []string{"https://h/", "https://h/items/"},
		}},
		{"https://{tenant}.example.com/a", mcp.URI{
			Canonical: "https://{tenant}.example.com/a", Scheme: "https", Path: "/a", Prefix: "https://",
		}},
	}
	for _, tt := range tests {
		tt.want.Sent, tt.want.Template = tt.sent, true
		got, err := mcp.CanonicalTemplate(tt.sent, mcp.Rules{})
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("CanonicalTemplate(%q) = %v (-want +got):\n%s", tt.sent, err, diff)
		}
	}
	plain, err := mcp.CanonicalTemplate("X://h/a", mcp.Rules{})
	if want := (mcp.URI{Canonical: "x://h/a", Sent: "X://h/a", Scheme: "x", Host: "h", Path: "/a", Dirs: []string{"x://h/", "x://h/a/"}}); !cmp.Equal(want, plain) || err != nil {
		t.Errorf("CanonicalTemplate(X://h/a) = %+v, %v, want the plain URI", plain, err)
	}
	name, err := mcp.CanonicalTemplate("note-{id}", mcp.Rules{ResourceNames: true})
	if want := (mcp.URI{Canonical: "note-{id}", Sent: "note-{id}", Path: "note-{id}", Template: true, Prefix: "note-"}); !cmp.Equal(want, name) || err != nil {
		t.Errorf("CanonicalTemplate(note-{id}) = %+v, %v, want %+v", name, err, want)
	}
	for _, sent := range []string{
		"x://h/{", "x://h/}", "x://h/{}", "x://h/{a", "x://h/{a}}", "x://h/{{a}}", "x://h/{a b}", `x://h/{a\}`, "x://h/{é}", "x://h/{%41}",
		"{scheme}://h", "x://u@{h}/", "x://{u}@h/", "x://h/../{a}", "x://h/{a}/../b", "x://h/%2e%2e/{a}", "http://h:{port}/", "x://h/\x01{a}", "x://h/%{a}",
		"x:{a}" + strings.Repeat("é", 1365), "x:{abcdefgh}" + strings.Repeat("é", 1364), "x:{a}" + strings.Repeat("a", 8190), "file:///{a}?b", "https://{h}#x",
	} {
		if got, err := mcp.CanonicalTemplate(sent, mcp.Rules{}); err == nil {
			t.Errorf("CanonicalTemplate(%q) = %q, want an error", sent, got.Canonical)
		}
	}
}

// pieces make URIs that come near every rule.
var pieces = []string{
	"x:", "X:", "file:///", "http://", "HTTPS://", "ssh://git@", "//", "/", "a", "B", "é", "%41", "%c3%a9", "%2e", "%2f", "%25", "4", "1", "..", ".",
	"?", "#", "&", "%26", "!", "%21", ":", "80", "@", "[", "]", "c:", "%7c", "|", "{", "}", "{a}", "{/b}", "h", "[::1]", "%3a", "%20",
}

// The canonical spelling is its own.
func TestCanonicalURIIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(t, "pieces"), "")
		rules := mcp.Rules{ResourceNames: rapid.Bool().Draw(t, "names"), EncodedSlash: rapid.Bool().Draw(t, "slash")}
		for _, spell := range []func(string, mcp.Rules) (mcp.URI, error){mcp.CanonicalURI, mcp.CanonicalTemplate} {
			if bad := unstable(sent, rules, spell); bad != "" {
				t.Fatal(bad)
			}
		}
	})
}

// unstable says what is wrong with the spelling of sent.
func unstable(sent string, rules mcp.Rules, spell func(string, mcp.Rules) (mcp.URI, error)) string {
	once, err := spell(sent, rules)
	if err != nil {
		return ""
	}
	twice, err := spell(once.Canonical, rules)
	if err != nil {
		return "canonical spelling " + once.Canonical + " is refused: " + err.Error()
	}
	twice.Sent = once.Sent
	if diff := cmp.Diff(once, twice); diff != "" {
		return "canonical spelling is spelled anew (-once +twice):\n" + diff
	}
	return misplaced(once)
}

// misplaced says which directory of u is none.
func misplaced(u mcp.URI) string {
	whole := u.Canonical + "/"
	if at := strings.IndexByte(u.Canonical, '@'); at >= 0 && u.Host != "" && strings.HasPrefix(u.Canonical[at+1:], u.Host) {
		whole = u.Scheme + "://" + u.Canonical[at+1:] + "/" // a userinfo stands in no directory
	}
	path, _, _ := strings.Cut(whole, "#")
	path, _, _ = strings.Cut(path, "?")
	if !strings.HasSuffix(path, "/") || strings.HasSuffix(path, "://") {
		path += "/" // an empty path counts as one slash
	}
	for _, dir := range u.Dirs {
		if !strings.HasSuffix(dir, "/") || !strings.HasPrefix(path, dir) {
			return "directory " + dir + " of " + u.Canonical + " is no prefix of it that ends in a slash"
		}
	}
	if !strings.HasPrefix(u.Canonical, u.Prefix) || u.Template != strings.Contains(u.Canonical, "{") && u.Scheme != "" {
		return "template " + u.Canonical + " does not begin with " + u.Prefix
	}
	return ""
}
