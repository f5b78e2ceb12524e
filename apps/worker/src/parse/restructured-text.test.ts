import { expect, test } from "vitest";
import { blocksOf, describeParser } from "../../test/parser-conformance.ts";
import { parseRestructuredText } from "./restructured-text.ts";

const sample = `.. _start:

=====
Guide
=====

Install the *needle* with \`\`pip\`\`, see :ref:\`the notes <notes>\` or \`the site
<https://example.org>\`_::

    pip install  needle

Options
-------

- fast
- slow

.. note:: Mind the gap.
   It is wide.

.. code-block:: python
   :linenos:

   def f():
       return 1

.. a comment
   of two lines

Deeper
~~~~~~

=====  =====
Name   Size
=====  =====
a      1

b      2
=====  =====

After.

Options again
-------------
`;

describeParser("reStructuredText", parseRestructuredText, new TextEncoder().encode(sample));

test("titles are headings by the order of their styles, directives show their content, comments nothing", async () => {
  const document = await parseRestructuredText(new TextEncoder().encode(sample));
  expect(document.title).toBe("Guide");
  expect(blocksOf(document)).toEqual([
    ["heading 1", "Guide"],
    ["paragraph", "Install the needle with pip, see the notes or the site:"],
    ["code", "pip install  needle"],
    ["heading 2", "Options"],
    ["list", "- fast\n- slow"],
    ["paragraph", "Mind the gap."],
    ["paragraph", "It is wide."],
    ["code", "def f():\n    return 1"],
    ["heading 3", "Deeper"],
    ["table", "=====  =====\nName   Size\n=====  =====\na      1\n\nb      2\n=====  ====="],
    ["paragraph", "After."],
    ["heading 2", "Options again"],
  ]);
});
