import { admin } from "../i18n/zh-CN/admin";
import { common } from "../i18n/zh-CN/common";

export const words = { ...common, ...admin };
