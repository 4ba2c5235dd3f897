import type { AnnotationQuery, Dashboard } from '@grafana/schema';

/** A type of Grafana's as JSON holds it: the words of its enums as plain strings, and what has a default left out. */
export type Plain<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends (infer Item)[]
      ? Plain<Item>[]
      : T extends object
        ? { [Key in keyof T]?: Plain<T[Key]> }
        : T;

/** What Grafana's Prometheus plugin reads of an annotation besides; Grafana's types leave plugins' own members out. */
interface PrometheusAnnotation {
  expr: string;
  step: string;
  tagKeys: string;
  titleFormat: string;
  textFormat: string;
}

/** A board as its file holds it. What Grafana cannot do without is required. */
export type Board = Omit<Plain<Dashboard>, 'annotations'> & {
  uid: string;
  title: string;
  schemaVersion: 42;
  annotations: { list: (Plain<AnnotationQuery> & PrometheusAnnotation)[] };
};
