import katex from "katex";
/** What KaTeX will make an element of. */
export interface DomTree {
  children?: DomTree[];
  toNode(): Node;
}
declare const withTree: typeof katex & {
  __renderToDomTree(tex: string, options?: katex.KatexOptions): DomTree;
};
export { withTree as default };
