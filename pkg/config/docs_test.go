package config_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/cedargate/cedargate/pkg/config"
	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
)

const page = "../../docs/configuration.md"

// fields gives the paths of all fields below a message, as the page names them,
// and whether each holds a value rather than more fields.
func fields(prefix string, d protoreflect.MessageDescriptor, paths map[string]bool) {
	for i := range d.Fields().Len() {
		field := d.Fields().Get(i)
		path := prefix + string(field.Name())
		inner := field.Message()
		nested := inner != nil && inner.ParentFile() == d.ParentFile()
		paths[path] = !nested
		if nested && field.IsList() {
			path += "[]"
		}
		if nested {
			fields(path+".", inner, paths)
		}
	}
}

// Every field is on the page, and each that holds a value says that it is
// required, or what its absence means.
func TestEveryFieldIsDocumented(t *testing.T) {
	text := string(read(t, page))
	paths := map[string]bool{}
	fields("", (&cedargatev1.Config{}).ProtoReflect().Descriptor(), paths)
	for path, isValue := range paths {
		_, after, found := strings.Cut(text, fmt.Sprintf("- **`%s`**", path))
		if !found {
			t.Errorf("%s does not describe %s", page, path)
			continue
		}
		words, _, _ := strings.Cut(after, "- **`")
		if isValue && !strings.Contains(words, "Default:") && !strings.Contains(words, "Required") {
			t.Errorf("%s does not say what happens without %s", page, path)
		}
	}
}

var sampleBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestSamplesOfThePage(t *testing.T) {
	blocks := sampleBlock.FindAllStringSubmatch(string(read(t, page)), -1)
	if len(blocks) != 2 {
		t.Fatalf("%s has %d samples, want 2", page, len(blocks))
	}
	for _, block := range blocks {
		if _, problems := config.Parse("sample", []byte(block[1])); len(problems) > 0 {
			t.Errorf("Parse of a sample of %s found\n%s", page, report(problems))
		}
	}
}

// The defaults that the page states are those of a file that states none.
func TestDefaultsOfThePage(t *testing.T) {
	c := parse(t, testdata+"/good/smallest.yaml")
	rules := c.Servers[0].Rules
	defaults := map[string]string{
		"listen.grpc":              c.GRPC.Address,
		"listen.admin":             c.Admin.Address,
		"limits.body_bytes":        fmt.Sprint(rules.BodyBytes),
		"limits.elements":          fmt.Sprint(rules.Elements),
		"limits.token_bytes":       fmt.Sprint(c.TokenBytes),
		"trusted_hops":             fmt.Sprint(c.TrustedHops),
		"policies.builtin":         fmt.Sprint(!c.OmitBuiltin),
		"audit.path":               c.AuditPath,
		"log.level":                strings.ToLower(c.Log.Level.String()),
		"servers[].time_zone":      c.Servers[0].Location.String(),
		"servers[].forward_token":  fmt.Sprint(c.Servers[0].ForwardToken),
		"servers[].resource_names": fmt.Sprint(rules.ResourceNames),
	}
	text := string(read(t, page))
	for path, want := range defaults {
		_, after, _ := strings.Cut(text, fmt.Sprintf("- **`%s`**", path))
		_, after, _ = strings.Cut(after, "Default:")
		got := strings.FieldsFunc(after, func(c rune) bool { return strings.ContainsRune(" \n`,", c) })
		if len(got) == 0 || strings.TrimSuffix(got[0], ".") != want {
			t.Errorf("%s gives the default of %s as %.20q, want %s", page, path, after, want)
		}
	}
}
