package form_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/form"
)

func TestForm_Fits(t *testing.T) {
	t.Parallel()
	values := []string{`"x"`, `1`, `1.5`, `1e3`, `true`, `false`, `[]`, `{}`, `null`}
	for f, want := range map[form.Form]string{
		form.Any: strings.Join(values, " "), form.Text: `"x"`, form.Number: `1 1.5 1e3`, form.Int: `1`, form.Bool: `true false`,
		form.List: `[]`, form.Object: `{}`, form.TextOrList: `"x" []`, form.TextOrObject: `"x" {}`,
	} {
		var fits []string
		for _, v := range values {
			if f.Fits(gjson.Parse(v)) {
				fits = append(fits, v)
			}
		}
		require.Equal(t, want, strings.Join(fits, " "), f)
	}
}
