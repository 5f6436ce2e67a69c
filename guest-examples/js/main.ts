// What is built: the exports of the component, made of the route.
import { component } from "./sandpool";
import tour from "./tour";

export const { run, describe } = component(tour);
